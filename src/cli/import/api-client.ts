import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Credentials } from '../../config/client-credentials.js';
import { type Answer, asksForPatience, readAnswer } from './answer.js';
import { isObject, LineFailure } from './values.js';
import { IMPORT, Refused, refusalOf } from './refused.js';

/** The service cannot be reached, or not any more: no line can be imported. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

interface Call {
  /** What to send; asked anew for each attempt. */
  readonly body?: () => unknown;
  readonly idempotencyKey?: string;
  /** Whether the answer is the last; unless given, the first that does not ask for patience. */
  readonly isLast?: (answer: Answer) => boolean;
  readonly attempts?: number;
}

const ATTEMPTS = 6;
/** Longer than the service's own time limit, which answers 504. */
const TIMEOUT_MS = 40_000;
const LONGEST_WAIT_MS = 300_000;

/**
 * Calls the HTTP API at `base`, `concurrency` times at once at most, and again while it is away or asks for patience:
 * only what is safe to repeat may be sent.
 */
export class ApiClient {
  private answers = 0;
  /** Aborted by the first refusal: nothing is sent any more, and who waits to try again need not. */
  private readonly refusal = new AbortController();
  private readonly limit: ReturnType<typeof pLimit>;

  constructor(
    private readonly base: string,
    private readonly credentials: Credentials,
    concurrency: number,
    private readonly purpose = IMPORT,
  ) {
    this.limit = pLimit(concurrency);
  }

  /**
   * The last answer, whatever its status but 401 and 403: these throw `Refused`, here and in every later call. Throws
   * `LineFailure` when none came, or `Unreachable` when nobody else has had an answer since the first attempt failed
   * either.
   */
  send(method: 'GET' | 'POST', path: string, call: Call = {}): Promise<Answer> {
    return this.limit(() => this.sendUntilLast(method, path, call));
  }

  private async sendUntilLast(method: string, path: string, call: Call): Promise<Answer> {
    const { attempts = ATTEMPTS, isLast = (answer) => !asksForPatience(answer) } = call;
    let answersBefore: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      this.refusal.signal.throwIfAborted();
      const backoff = 250 * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
      let wait = backoff;
      try {
        const response = await this.fetch(method, path, call);
        const answer = await readAnswer(response, this.credentials.text);
        this.answers += 1;
        this.throwIfRefused(answer);
        if (isLast(answer) || attempt === attempts) return answer;
        wait = retryAfter(response) ?? backoff;
        if (wait > LONGEST_WAIT_MS) return answer;
      } catch (error) {
        if (error instanceof Refused) throw error;
        answersBefore ??= this.answers;
        if (attempt === attempts) {
          const failure = `${this.base} cannot be reached (${reasonOf(error)}): is it running, and is --url right?`;
          throw this.answers === answersBefore ? new Unreachable(failure) : new LineFailure(failure);
        }
      }
      // Cut short by a refusal, which the next turn throws.
      await sleep(wait, undefined, { signal: this.refusal.signal }).catch(() => undefined);
    }
  }

  private throwIfRefused(answer: Answer): void {
    const refused = refusalOf(answer, this.base, this.credentials.kind, this.purpose);
    if (refused === undefined) return;
    this.refusal.abort(refused);
    throw refused;
  }

  private fetch(method: string, path: string, { body, idempotencyKey }: Call): Promise<Response> {
    return fetch(this.base + path, {
      method,
      headers: {
        Authorization: `Bearer ${this.credentials.text}`,
        Accept: 'application/json, application/problem+json',
        // Of large answers little is read: the service had better place orders than compress them.
        'Accept-Encoding': 'identity',
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
      },
      body: body === undefined ? null : JSON.stringify(body()),
      // Followed, a POST could turn into a GET, and another host could learn the credentials.
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
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
  if (error.name === 'TimeoutError') return `no answer in ${TIMEOUT_MS / 1_000} s`;
  const { cause } = error;
  return isObject(cause) && typeof cause.code === 'string' ? cause.code : error.message;
}
