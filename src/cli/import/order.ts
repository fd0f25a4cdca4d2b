import { createHash } from 'node:crypto';
import { canonicalBytes } from '../../database/entry.js';

/** What is wrong with one line of the file; the others can be imported none the less. */
export class LineFailure extends Error {
  override readonly name = 'LineFailure';
}

/** An order of the file, ready to be placed once its customer's user is known. */
export interface ImportedOrder {
  readonly customer: { readonly email: string; readonly name: unknown };
  readonly reference: string | undefined;
  /** The body of `POST /v1/orders`, but for `userId`. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly idempotencyKey: string;
}

const ORDER_MEMBERS = ['reference', 'currency', 'lines', 'shipping', 'placedAt', 'note', 'metadata'];
const LINE_MEMBERS = ['sku', 'name', 'quantity', 'unitPrice', 'discountPpm', 'taxPpm'];
/** Said or left out, they mean the same: an export, which says all of them, keeps the key and content of its import. */
const DEFAULTS: Readonly<Record<string, string>> = {
  reference: 'null',
  note: 'null',
  shipping: '0',
  metadata: '{}',
  discountPpm: '0',
  taxPpm: '0',
};

/** Reads one line of NDJSON; undefined for a blank one. Throws `LineFailure`, which never quotes the line. */
export function parseOrder(bytes: Buffer): ImportedOrder | undefined {
  const text = decode(bytes);
  if (text.trim() === '') return undefined;
  const order = parse(text);
  if (!isObject(order)) throw new LineFailure('not a JSON object');
  const { customer } = order;
  if (!isObject(customer) || typeof customer.email !== 'string') {
    throw new LineFailure('/customer/email: must be a string');
  }

  const body = pick(order, ORDER_MEMBERS);
  if (Array.isArray(body.lines)) {
    body.lines = body.lines.map((line: unknown) => (isObject(line) ? pick(line, LINE_MEMBERS) : line));
  }
  const reference = typeof body.reference === 'string' ? body.reference : undefined;
  return {
    customer: { email: customer.email, name: customer.name },
    reference,
    body,
    idempotencyKey: keyOf(customer.email.toLowerCase(), reference ?? body),
  };
}

/** Whether the value is an object with members: not null, not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The same order always has the same key: named by its reference, or else by all that it says. */
function keyOf(email: string, identity: unknown): string {
  try {
    return `import:${createHash('sha256')
      .update(canonicalBytes([email, identity]))
      .digest('hex')}`;
  } catch {
    throw new LineFailure('holds half of a surrogate pair, or is nested too deeply');
  }
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new LineFailure('not valid UTF-8');
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, and with it personal data.
    throw new LineFailure('not valid JSON');
  }
}

function pick(source: Record<string, unknown>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    names
      .filter((name) => Object.hasOwn(source, name) && JSON.stringify(source[name]) !== DEFAULTS[name])
      .map((name) => [name, source[name]]),
  );
}
