import { isObject } from './order.js';

/** An answer of the service; `body` is undefined when it is not JSON. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly replayed: boolean;
}

/** Reads the answer; `secret`, which a gateway may quote when it refuses, is blotted out. */
export async function readAnswer(response: Response, secret: string): Promise<Answer> {
  const replayed = response.headers.get('idempotency-replayed') === 'true';
  const said = await response.text();
  const text = response.ok ? said : said.replaceAll(secret, '***');
  try {
    return { status: response.status, body: JSON.parse(text) as unknown, replayed };
  } catch {
    return { status: response.status, body: undefined, replayed };
  }
}

/** The stable code of a problem (RFC 9457), or undefined when the answer is something else. */
export function problemCode({ body }: Answer): string | undefined {
  return isObject(body) && typeof body.code === 'string' ? body.code : undefined;
}
