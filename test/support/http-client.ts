import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

/** What was answered, and how long it took. */
export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
  readonly milliseconds: number;
  /** The port that it was asked from. */
  readonly clientPort: number | undefined;
}

/** No whole answer came; `clientPort` is the port that the request was sent from, where there was a connection. */
export class NoAnswer extends Error {
  constructor(
    readonly clientPort: number | undefined,
    cause: unknown,
  ) {
    super(`no answer (${codeOf(cause)})`, { cause });
  }
}

interface Sent {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: object;
  /** Waits so long in the middle of the body. */
  readonly pauseMs?: number;
}

/** A client with connections of its own that are kept alive, and that never sends anything again by itself. */
export class HttpClient {
  private readonly agent: Agent;
  constructor(
    private readonly url: string,
    public token: string | undefined,
    connections = 1,
  ) {
    this.agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  /** Sends one request; throws `NoAnswer` when the answer does not come, or not whole. */
  async send(path: string, { method = 'GET', headers = {}, body, pauseMs }: Sent = {}): Promise<Answer> {
    const started = performance.now();
    let clientPort: number | undefined;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const sent = request(this.url + path, {
      method,
      agent: this.agent,
      headers: {
        ...(this.token !== undefined && { Authorization: `Bearer ${this.token}` }),
        ...(bytes && { 'Content-Type': 'application/json', 'Content-Length': bytes.length }),
        ...headers,
      },
    });
    sent.on('error', reject);
    sent.on('socket', (socket) => {
      const note = () => (clientPort = socket.localPort);
      if (socket.connecting) socket.once('connect', note);
      else note();
    });
    sent.on('response', (response) => {
      const { statusCode: status = 0, headers: answered } = response;
      text(response).then((received) => {
        const milliseconds = performance.now() - started;
        resolve({ status, headers: answered, body: received, milliseconds, clientPort });
      }, reject);
    });
    const answer = promise.catch((error: unknown) => {
      throw new NoAnswer(clientPort, error);
    });
    if (bytes !== undefined && pauseMs !== undefined) {
      // It may fail meanwhile.
      answer.catch(() => undefined);
      sent.write(bytes.subarray(0, bytes.length / 2));
      await delay(pauseMs);
      sent.end(bytes.subarray(bytes.length / 2));
    } else sent.end(bytes);
    return answer;
  }

  close(): void {
    this.agent.destroy();
  }
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'message' in error ? String(error.message) : 'unknown';
}
