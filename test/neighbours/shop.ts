import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { expectSettled } from '../support/aftermath.js';
import { type Answer, HttpClient } from '../support/http-client.js';
import type { TestPostgres } from '../support/postgres.js';
import { startProcess, until } from '../support/process.js';
import { lines } from '../support/samples.js';

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };
const CUSTOMERS = 6;
const WATCH_MS = 100;
const REQUEST_TIMEOUT_MS = 30_000;
/** A machine that is busy answers later than it decides to. */
const ALLOWANCE_MS = 5_000;

/** A service whose customers keep ordering whatever happens around it. */
export interface Shop {
  readonly url: string;
  /** The access token of an admin. */
  readonly token: string;
  readonly client: HttpClient;
  /** Numbers of answers, by status. */
  readonly statuses: ReadonlyMap<number, number>;
  /** Answers that nobody should get. */
  readonly wrong: readonly string[];
  /** What each probe said last. */
  readonly health: Readonly<Record<'live' | 'ready', number>>;
  readonly lines: readonly string[];
  /** Waits until requests are refused with 503, from now on. */
  refuses(): Promise<void>;
  /** Waits until every customer got an order acknowledged, and the service says that it is ready, from now on. */
  serves(): Promise<void>;
  /**
   * Closes the shop: customers insist until their orders are acknowledged, then everything must be in order, and the
   * process end well.
   */
  close(): Promise<void>;
}

const open = new Set<() => Promise<unknown>>();

/** Ends what a test has left behind that did not get as far as to close its shop. */
export async function abandonShops(): Promise<void> {
  await Promise.all([...open].map((abandon) => abandon()));
  open.clear();
}

/** Opens a shop on the database, which its service reaches by `url`. `folder` is its own. */
export async function openShop(
  database: TestPostgres,
  folder: string,
  { url: databaseUrl = database.serviceUrl, environment = {} } = {},
): Promise<Shop> {
  const service = startProcess(folder, {
    DATABASE_URL: databaseUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    HOST: '127.0.0.1',
    ADMIN_PASSWORD: ADMIN.password,
    RATE_LIMIT: '1000000',
    REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
    AUDIT_CHECKPOINT_SINK: join(folder, 'checkpoint'),
    ...environment,
  });
  let isOpen = true;
  open.add(() => {
    isOpen = false;
    service.process.kill('SIGKILL');
    return service.exited();
  });
  const url = await service.listening();
  const client = new HttpClient(url, undefined, 20);
  const signedIn = await client.send('/v1/auth/login', { method: 'POST', body: ADMIN });
  const { accessToken: token } = JSON.parse(signedIn.body) as { accessToken: string };
  client.token = token;

  const statuses = new Map<number, number>();
  const wrong: string[] = [];
  const health = { live: 0, ready: 0 };
  const acknowledged = new Map<string, string>();
  const checkpoints = new Set<string>();
  const ordersOf = Array.from({ length: CUSTOMERS }, () => 0);

  /** One request, whose answer is judged; undefined where it was refused. */
  async function ask(
    path: string,
    sent: Parameters<HttpClient['send']>[1] = {},
  ): Promise<Answer | undefined> {
    const answer = await client.send(path, sent).catch((error: unknown) => {
      wrong.push(`${path}: ${String(error)}`);
    });
    if (answer === undefined) return undefined;
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    const fault = faultOf(answer);
    if (fault !== undefined) wrong.push(`${path}: ${fault}`);
    return answer.status < 300 ? answer : undefined;
  }

  async function order(customer: number): Promise<void> {
    while (isOpen) {
      const key = randomUUID();
      let answer: Answer | undefined;
      while (answer === undefined) {
        if (service.process.signalCode !== null) return;
        answer = await ask('/v1/orders', {
          method: 'POST',
          headers: { 'Idempotency-Key': key },
          body: { currency: 'EUR', reference: key, lines },
        });
        if (answer === undefined) await delay(WATCH_MS);
      }
      const { id } = JSON.parse(answer.body) as { id: string };
      acknowledged.set(key, id);
      ordersOf[customer] = (ordersOf[customer] ?? 0) + 1;
      await ask(`/v1/orders/${id}`);
      await delay(WATCH_MS / 5);
    }
  }

  async function watch(): Promise<void> {
    while (isOpen) {
      for (const probe of ['live', 'ready'] as const) health[probe] = await probeOf(url, probe);
      if (health.live !== 200) wrong.push(`/health/live: ${health.live}`);
      const checkpoint = await ask('/v1/audit/log/checkpoint');
      if (checkpoint !== undefined) checkpoints.add(checkpoint.body);
      await delay(WATCH_MS);
    }
  }

  await firstCheckpoint(client);
  const tasks = [...ordersOf.map((_, customer) => order(customer)), watch()];
  return {
    url,
    token,
    client,
    statuses,
    wrong,
    health,
    lines: service.lines,
    async refuses() {
      const before = statuses.get(503) ?? 0;
      await until('it refuses', 60_000, () => (statuses.get(503) ?? 0) > before);
    },
    async serves() {
      const before = [...ordersOf];
      const isServed = (orders: number, customer: number) => orders > (before[customer] ?? 0) + 1;
      await until('it serves', 90_000, () => ordersOf.every(isServed) && health.ready === 200);
    },
    async close() {
      isOpen = false;
      await Promise.all(tasks);
      expect(wrong).toEqual([]);
      await expectSettled(database, { url, token, acknowledged, checkpoints: [...checkpoints], folder });
      client.close();
      service.process.kill('SIGTERM');
      expect(await service.exited()).toBe(0);
    },
  };
}

/** What is wrong with an answer; undefined where it is one that clients are told to expect. */
function faultOf({ status, headers, body, milliseconds }: Answer): string | undefined {
  if (milliseconds > REQUEST_TIMEOUT_MS + ALLOWANCE_MS)
    return `${status} after ${Math.round(milliseconds)} ms`;
  if (status === 200 || status === 201) return undefined;
  const { code } = JSON.parse(body) as { code?: string };
  const isRefusal = status === 503 && code === 'unavailable';
  const isWait = status === 409 && code === 'idempotency-in-progress';
  const saysWhen = /^\d+$/.test(String(headers['retry-after']));
  const isProblem = headers['content-type']?.includes('application/problem+json') === true;
  return (isRefusal || isWait) && saysWhen && isProblem ? undefined : `${status} ${body}`;
}

async function probeOf(url: string, probe: string): Promise<number> {
  const answer = await fetch(`${url}/health/${probe}`, { signal: AbortSignal.timeout(10_000) }).catch(
    () => undefined,
  );
  await answer?.body?.cancel();
  return answer?.status ?? 0;
}

async function firstCheckpoint(client: HttpClient): Promise<void> {
  let status = 0;
  const ask = async () => ({ status } = await client.send('/v1/audit/log/checkpoint'));
  for (let attempt = 0; attempt < 200 && status !== 200; attempt++) {
    await ask();
    await delay(WATCH_MS);
  }
  if (status !== 200) throw new Error(`The service has no checkpoint: ${status}`);
}
