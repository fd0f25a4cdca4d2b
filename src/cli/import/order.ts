import type { Identities } from './identities.js';
import { isObject, LineFailure } from './values.js';

/** An order of the file, ready to be placed once its customer's user is known. */
export interface ImportedOrder {
  readonly customer: { readonly email: string; readonly name: unknown };
  readonly reference: string | undefined;
  /** The body of `POST /v1/orders`, but for `userId`. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly idempotencyKey: string;
  /** Whether more had become of it where it was exported than that it was placed. */
  readonly wentOn: boolean;
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)$/;
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
export function parseOrder(bytes: Buffer, identities: Identities): ImportedOrder | undefined {
  const text = decode(bytes);
  if (text.trim() === '') return undefined;
  const order = parse(text);
  if (!isObject(order)) throw new LineFailure('not a JSON object');
  const { customer } = order;
  if (!isObject(customer) || typeof customer.email !== 'string') {
    throw new LineFailure('/customer/email: must be a string');
  }

  const said = pick(order, ORDER_MEMBERS);
  if (Array.isArray(said.lines)) {
    said.lines = said.lines.map((line: unknown) => (isObject(line) ? pick(line, LINE_MEMBERS) : line));
  }
  if (typeof said.placedAt === 'string') said.placedAt = asExported(said.placedAt);
  const { body, idempotencyKey } = identities.of(customer.email.toLowerCase(), said, order.id);
  return {
    customer: { email: customer.email, name: customer.name },
    reference: typeof body.reference === 'string' ? body.reference : undefined,
    body,
    idempotencyKey,
    wentOn: (typeof order.status === 'string' && order.status !== 'placed') || isFilled(order.payments),
  };
}

/** An instant as an export writes it; the text itself when it is none, which is for the service to refuse. */
function asExported(text: string): string {
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`);
  if (!INSTANT.test(text) || day.getUTCDate() !== Number(text.slice(8, 10))) return text;
  const instant = new Date(text);
  return Number.isNaN(instant.getTime()) ? text : instant.toISOString();
}

function isFilled(list: unknown): boolean {
  return Array.isArray(list) && list.length > 0;
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
