import { setTimeout as sleep } from 'node:timers/promises';
import { isObject, LineFailure } from './order.js';

/** The service cannot be reached, or not any more: no line can be imported. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

/** An answer of the service; `body` is undefined when it is not JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly replayed: boolean;
}

interface Call {
  readonly body?: unknown;
  readonly idempotencyKey?: string;
  readonly attempts?: number;
}

const ATTEMPTS = 6;
/** Longer than the service's own time limit, which answers 504. */
const TIMEOUT_MS = 40_000;
const LONGEST_WAIT_MS = 300_000;
const RETRIED_STATUSES = new Set([408, 429, 502, 503, 504]);

/** Calls the HTTP API at `base`, again while it is away or asks for patience: only what is safe to repeat may be sent. */
export class ApiClient {
  private answers = 0;

  constructor(private readonly base: string) {}

  /**
   * The last answer, whatever its status. Throws `LineFailure` when none came, or `Unreachable` when nobody else has
   * had an answer since the first attempt failed either.
   */
  async send(method: 'GET' | 'POST', path: string, call: Call = {}): Promise<Answer> {
    const { attempts = ATTEMPTS } = call;
    let answersBefore: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      const backoff = 250 * 2 ** (attempt - 1) * (0.5 + Math.random() / 2);
      let wait = backoff;
      try {
        const response = await this.fetch(method, path, call);
        const answer = await readAnswer(response);
        this.answers += 1;
        if (attempt === attempts || !asksForPatience(answer)) return answer;
        wait = retryAfter(response) ?? backoff;
        if (wait > LONGEST_WAIT_MS) return answer;
      } catch (error) {
        answersBefore ??= this.answers;
        if (attempt === attempts) {
          const failure = `${this.base} cannot be reached (${reasonOf(error)}): is it running, and is --url right?`;
          throw this.answers === answersBefore ? new Unreachable(failure) : new LineFailure(failure);
        }
      }
      await sleep(wait);
    }
  }

  private fetch(method: string, path: string, { body, idempotencyKey }: Call): Promise<Response> {
    return fetch(this.base + path, {
      method,
      headers: {
        Accept: 'application/json, application/problem+json',
        // Compressing answers this small costs both sides more than it saves.
        'Accept-Encoding': 'identity',
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      // Followed, a POST could turn into a GET.
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  }
}

/** The stable code of a problem (RFC 9457), or undefined when the answer is something else. */
export function problemCode({ body }: Answer): string | undefined {
  return isObject(body) && typeof body.code === 'string' ? body.code : undefined;
}

async function readAnswer(response: Response): Promise<Answer> {
  const replayed = response.headers.get('idempotency-replayed') === 'true';
  const text = await response.text();
  try {
    return { status: response.status, body: JSON.parse(text) as unknown, replayed };
  } catch {
    return { status: response.status, body: undefined, replayed };
  }
}

function asksForPatience(answer: Answer): boolean {
  return RETRIED_STATUSES.has(answer.status) || problemCode(answer) === 'idempotency-in-progress';
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
