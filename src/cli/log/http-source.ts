import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from '../../config/client-credentials.js';
import { Fault, type LogSource, Unusable } from './source.js';

const ATTEMPTS = 6;
/** Longer than the service's own time limit, which answers 504. */
const TIMEOUT_MS = 40_000;
const LONGEST_WAIT_MS = 300_000;
const RETRIED_STATUSES = new Set([408, 429, 502, 503, 504]);
/** Where the service has its log. */
const SERVICE_PREFIX = '/v1/audit/log';

/** A log behind an address that serves it in the form of c2sp.org/tlog-tiles. Credentials are sent for entries alone. */
export class HttpSource implements LogSource {
  private constructor(
    readonly name: string,
    private readonly credentials: Credentials | undefined,
  ) {}

  /** The log at `url`, or that of the service there. Throws `Unusable` when there is none. */
  static async at(url: string, credentials: Credentials | undefined): Promise<HttpSource> {
    for (const prefix of [url, url + SERVICE_PREFIX]) {
      const source = new HttpSource(prefix, credentials);
      if ((await source.read('checkpoint')) !== undefined) return source;
    }
    throw new Unusable(`${url} has no log: is the address right, and is a checkpoint published?`);
  }

  async read(path: string): Promise<Buffer | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      let wait = 250 * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
      try {
        const response = await this.fetch(path);
        const body = Buffer.from(await response.arrayBuffer());
        if (response.status === 200) return body;
        if (response.status === 404) return undefined;
        this.refuse(path, response.status);
        wait = retryAfter(response) ?? wait;
        if (attempt === ATTEMPTS || wait > LONGEST_WAIT_MS) {
          throw new Unusable(`${this.name} answers ${response.status} for ${path}, also after a while`);
        }
      } catch (error) {
        if (error instanceof Fault || error instanceof Unusable) throw error;
        if (attempt === ATTEMPTS) {
          throw new Unusable(
            `${this.name} cannot be reached (${reasonOf(error)}): is it running, and is the address right?`,
            { cause: error },
          );
        }
      }
      await sleep(wait);
    }
  }

  private fetch(path: string): Promise<Response> {
    const isForAuditors = path.startsWith('tile/entries/') && this.credentials !== undefined;
    return fetch(`${this.name}/${path}`, {
      headers: isForAuditors ? { Authorization: `Bearer ${this.credentials.text}` } : {},
      // Followed, another host could learn the credentials.
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  }

  /** Throws for an answer that no patience changes. */
  private refuse(path: string, status: number): void {
    if (RETRIED_STATUSES.has(status)) return;
    if (status === 401 || status === 403) {
      const kind =
        this.credentials === undefined ? 'whoever does not sign in' : `the ${this.credentials.kind}`;
      throw new Unusable(
        `${this.name} refuses ${kind} (${status}): entries are for auditors. Give --api-key (with the scope audit:read) ` +
          'or --token, or --tiles-only to do without them.',
      );
    }
    if (status >= 500) throw new Fault(`${path}: the log answers ${status}`);
    throw new Unusable(`${this.name} answers ${status} for ${path}`);
  }
}

/** Milliseconds, from seconds or a date; undefined without the header. */
function retryAfter(response: Response): number | undefined {
  const header = response.headers.get('retry-after');
  if (header === null) return undefined;
  const wait = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' ? code : error.message;
}
