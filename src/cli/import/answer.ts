import { isObject, LineFailure } from './values.js';

/** An answer of the service, or to one item of a batch; `body` is undefined when it is not JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly replayed: boolean;
}

const RETRIED_STATUSES = new Set([408, 429, 502, 503, 504]);

/** Reads the answer; `secret`, which a gateway may quote when it refuses, is blotted out. */
export async function readAnswer(response: Response, secret: string): Promise<Answer> {
  const replayed = response.headers.get('idempotency-replayed') === 'true';
  const text = (await response.text()).replaceAll(secret, '***');
  try {
    return { status: response.status, body: JSON.parse(text) as unknown, replayed };
  } catch {
    return { status: response.status, body: undefined, replayed };
  }
}

/** What came of each item of a batch, in their order; what is no answer is left undefined. */
export function itemsOf({ body }: Answer): (Answer | undefined)[] {
  const items: unknown[] = isObject(body) && Array.isArray(body.data) ? body.data : [];
  return items.map((item) =>
    isObject(item) && typeof item.status === 'number'
      ? { status: item.status, body: item.body, replayed: item.replayed === true }
      : undefined,
  );
}

/** The stable code of a problem (RFC 9457), or undefined when the answer is something else. */
export function problemCode({ body }: Answer): string | undefined {
  return isObject(body) && typeof body.code === 'string' ? body.code : undefined;
}

/** Whether the same request may be answered otherwise in a while. */
export function asksForPatience(answer: Answer): boolean {
  return RETRIED_STATUSES.has(answer.status) || problemCode(answer) === 'idempotency-in-progress';
}

/** Whether somebody else has this value of a member that must be unique. */
export function isTaken(answer: Answer, field: string): boolean {
  return problemCode(answer) === 'already-exists' && isObject(answer.body) && answer.body.field === field;
}

/** Whether nothing is wrong with an order but that there is no user with the id that it names. */
export function isForNobody(answer: Answer): boolean {
  const faults = faultsOf(answer);
  return faults.length === 1 && faults[0]?.pointer === '/userId' && faults[0].code === 'unknown';
}

/** The problem in one line, with the places it names in the file; `parent` is where the sent body stands in the order. */
export function failure(answer: Answer, parent = ''): LineFailure {
  const { status, body } = answer;
  if (!isObject(body) || typeof body.code !== 'string') return new LineFailure(`unexpected answer ${status}`);
  const details = faultsOf(answer).map(({ pointer, parameter, detail }) => {
    const place = typeof pointer === 'string' ? pointer : `/${String(parameter)}`;
    return `${parent}${place}: ${String(detail)}`;
  });
  return new LineFailure(`${body.code}: ${details.length > 0 ? details.join('; ') : String(body.detail)}`);
}

function faultsOf({ body }: Answer): Record<string, unknown>[] {
  const faults: unknown[] = isObject(body) && Array.isArray(body.errors) ? body.errors : [];
  return faults.filter(isObject);
}
