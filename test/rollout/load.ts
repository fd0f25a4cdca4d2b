import { randomUUID } from 'node:crypto';
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, HttpClient, NoAnswer } from '../support/http-client.js';
import { lines } from '../support/samples.js';

/** A request that was not answered as it should be. */
interface Failure {
  readonly what: string;
  readonly why: string;
  /** Who should have answered it, and how many milliseconds after the load began it failed. */
  readonly replica: string | undefined;
  readonly at: number;
}

/** What the clients have seen so far. */
interface Seen {
  requests: number;
  slowest: number;
  /** Placements, slow placements, exports and refreshed sessions that came to a good end. */
  placed: number;
  placedSlowly: number;
  exports: number;
  refreshes: number;
  readonly failures: Failure[];
  /** Ids of the orders that were acknowledged, by the key under which they were placed, also their reference. */
  readonly acknowledged: Map<string, string>;
  /** Every checkpoint that was ever answered. */
  readonly checkpoints: Set<string>;
}

/** Who sends, and what for. */
interface Plan {
  readonly url: string;
  /** Which replica a client is connected with, by the port that it calls from. */
  readonly servedBy: (clientPort: number | undefined) => string | undefined;
  readonly token: string;
  readonly refreshToken: string;
  /** The customer whose orders are exported, and how many there are. */
  readonly exported: { readonly userId: string; readonly orders: number };
  readonly readers: number;
  readonly placers: number;
  readonly slow: number;
}

const RETRY_MS = 100;
/** How often a placement is tried again once the load is over. */
const PATIENCE = 50;

/** Sends requests of all kinds, one after the other on each of many connections, until it is told to stop. */
export function startLoad(plan: Plan): { readonly seen: Seen; stop(): Promise<void> } {
  const seen: Seen = {
    requests: 0,
    slowest: 0,
    placed: 0,
    placedSlowly: 0,
    exports: 0,
    refreshes: 0,
    failures: [],
    acknowledged: new Map(),
    checkpoints: new Set(),
  };
  const over = new AbortController();
  const load = new Load(plan, seen, over.signal);
  const tasks = [
    ...Array.from({ length: plan.readers }, () => load.read()),
    ...Array.from({ length: plan.placers }, () => load.place()),
    ...Array.from({ length: plan.slow }, () => load.placeSlowly()),
    load.export(),
    load.keepSession(),
    load.readCheckpoints(),
  ];
  return {
    seen,
    async stop() {
      over.abort();
      await Promise.all(tasks);
    },
  };
}

class Load {
  private readonly began = performance.now();

  constructor(
    private readonly plan: Plan,
    private readonly seen: Seen,
    private readonly over: AbortSignal,
  ) {}

  async read(): Promise<void> {
    const client = new HttpClient(this.plan.url, this.plan.token);
    while (!this.over.aborted) {
      const known = [...this.seen.acknowledged.values()].at(-1);
      if (known === undefined) await delay(RETRY_MS);
      else await this.expect(client, 200, `/v1/orders/${known}`);
      await this.expect(client, 200, '/v1/users/me');
    }
    client.close();
  }

  async place(): Promise<void> {
    const client = new HttpClient(this.plan.url, this.plan.token);
    while (!this.over.aborted) {
      await this.placeOne(client);
      this.seen.placed++;
    }
    client.close();
  }

  /** Half of each body, and the rest a second later. */
  async placeSlowly(): Promise<void> {
    const client = new HttpClient(this.plan.url, this.plan.token);
    while (!this.over.aborted) {
      await this.placeOne(client, 1_000);
      this.seen.placedSlowly++;
    }
    client.close();
  }

  /** Places an order, again with the same key until it is acknowledged, or nobody waits for it any more. */
  private async placeOne(client: HttpClient, pauseMs?: number): Promise<void> {
    const key = randomUUID();
    for (let patience = PATIENCE; patience > 0; patience -= this.over.aborted ? 1 : 0) {
      const answer = await this.expect(client, 201, '/v1/orders', {
        method: 'POST',
        headers: { 'Idempotency-Key': key },
        body: { currency: 'EUR', reference: key, lines },
        ...(pauseMs !== undefined && { pauseMs }),
      });
      if (answer !== undefined) {
        this.seen.acknowledged.set(key, (JSON.parse(answer.body) as { id: string }).id);
        return;
      }
      await delay(RETRY_MS);
    }
  }

  /** Reads exports as slowly as a client does that works on what it reads. */
  async export(): Promise<void> {
    const { url, token, exported } = this.plan;
    while (!this.over.aborted) {
      this.seen.requests++;
      let clientPort: number | undefined;
      try {
        const orders = await readSlowly(
          `${url}/v1/orders/export?userId=${exported.userId}`,
          token,
          (port) => {
            clientPort = port;
          },
        );
        if (orders !== exported.orders) throw new Error(`${orders} orders of ${exported.orders}`);
        this.seen.exports++;
      } catch (error) {
        this.fail('export', String(error), clientPort);
        await delay(RETRY_MS);
      }
    }
  }

  /** One session, whose tokens are exchanged and used over and over. */
  async keepSession(): Promise<void> {
    const client = new HttpClient(this.plan.url, undefined);
    let { refreshToken } = this.plan;
    while (!this.over.aborted) {
      client.token = undefined;
      const answer = await this.expect(client, 200, '/v1/auth/refresh', {
        method: 'POST',
        body: { refreshToken },
      });
      if (answer !== undefined) {
        const tokens = JSON.parse(answer.body) as { accessToken: string; refreshToken: string };
        ({ refreshToken } = tokens);
        client.token = tokens.accessToken;
        if ((await this.expect(client, 200, '/v1/users/me')) !== undefined) this.seen.refreshes++;
      }
      await delay(RETRY_MS);
    }
    client.close();
  }

  async readCheckpoints(): Promise<void> {
    const client = new HttpClient(this.plan.url, undefined);
    while (!this.over.aborted) {
      const answer = await this.expect(client, 200, '/v1/audit/log/checkpoint');
      if (answer !== undefined) this.seen.checkpoints.add(answer.body);
      await delay(RETRY_MS);
    }
    client.close();
  }

  /** Answers undefined, and keeps in mind why, when the answer is another. */
  private async expect(
    client: HttpClient,
    status: number,
    path: string,
    sent: Parameters<HttpClient['send']>[1] = {},
  ): Promise<Answer | undefined> {
    const what = `${sent.method ?? 'GET'} ${path.replace(/[0-9a-f-]{36}/, '{id}')}`;
    this.seen.requests++;
    try {
      const answer = await client.send(path, sent);
      this.seen.slowest = Math.max(this.seen.slowest, answer.milliseconds - (sent.pauseMs ?? 0));
      if (answer.status === status) return answer;
      this.fail(what, `${answer.status} ${answer.body}`, answer.clientPort);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      this.fail(what, error.message, error.clientPort);
    }
    return undefined;
  }

  private fail(what: string, why: string, clientPort: number | undefined): void {
    const at = Math.round(performance.now() - this.began);
    // At once: a port is soon given to another connection.
    this.seen.failures.push({ what, why, replica: this.plan.servedBy(clientPort), at });
  }
}

/** The number of lines of the answer, which is read at about 5 MB a second; throws when it breaks off. */
async function readSlowly(url: string, token: string, connected: (port?: number) => void): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const sent = get(url, { agent: false, headers: { Authorization: `Bearer ${token}` } });
  sent.on('socket', (socket) => socket.once('connect', () => connected(socket.localPort)));
  sent.on('error', reject);
  sent.on('response', (response) => {
    const count = async () => {
      let orders = 0;
      for await (const chunk of response as AsyncIterable<Buffer>) {
        for (const byte of chunk) if (byte === 10) orders++;
        await delay(chunk.length / 5_000);
      }
      if (response.statusCode !== 200) throw new Error(`answered ${response.statusCode}`);
      return orders;
    };
    count().then(resolve, reject);
  });
  return promise;
}
