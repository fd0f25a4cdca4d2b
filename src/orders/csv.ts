import type { ExportedOrder } from './export.dto.js';
import type { OrderLineResponse } from './order.response.dto.js';

type Cell = string | number | null;
type Columns<T> = Readonly<Record<string, (source: T) => Cell>>;

/** What a spreadsheet would take for a formula, also in full width; or what looks as if it had been escaped. */
const FORMULA = /^'*[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/;

/** On each row: what a row is looked for and filtered by. */
const repeated: Columns<ExportedOrder> = {
  id: ({ id }) => id,
  reference: ({ reference }) => reference,
  userId: ({ userId }) => userId,
  customerEmail: ({ customer }) => customer.email,
  customerName: ({ customer }) => customer.name,
  status: ({ status }) => status,
  paymentStatus: ({ paymentStatus }) => paymentStatus,
  fulfillmentStatus: ({ fulfillmentStatus }) => fulfillmentStatus,
  placedAt: ({ placedAt }) => placedAt,
  createdAt: ({ createdAt }) => createdAt,
  updatedAt: ({ updatedAt }) => updatedAt,
  version: ({ version }) => version,
  currency: ({ currency }) => currency,
};

const ofLine: Columns<OrderLineResponse> = {
  linePosition: ({ position }) => position,
  lineSku: ({ sku }) => sku,
  lineName: ({ name }) => name,
  lineQuantity: ({ quantity }) => quantity,
  lineUnitPrice: ({ unitPrice }) => unitPrice,
  lineDiscountPpm: ({ discountPpm }) => discountPpm,
  lineTaxPpm: ({ taxPpm }) => taxPpm,
  lineSubtotal: ({ subtotal }) => subtotal,
  lineDiscount: ({ discount }) => discount,
  lineTax: ({ tax }) => tax,
  lineTotal: ({ total }) => total,
  lineFulfilled: ({ fulfilled }) => fulfilled,
  lineRefunded: ({ refunded }) => refunded,
};

/** On the row of the first line alone: a column of amounts adds up, and a long note is there once. */
const once: Columns<ExportedOrder> = {
  subtotal: ({ subtotal }) => subtotal,
  discount: ({ discount }) => discount,
  tax: ({ tax }) => tax,
  shipping: ({ shipping }) => shipping,
  total: ({ total }) => total,
  paid: ({ paid }) => paid,
  refunded: ({ refunded }) => refunded,
  balance: ({ balance }) => balance,
  holdFrom: ({ hold }) => hold?.from ?? null,
  holdReason: ({ hold }) => hold?.reason ?? null,
  note: ({ note }) => note,
  metadata: ({ metadata }) => JSON.stringify(metadata),
  payments: ({ payments }) => JSON.stringify(payments),
  refunds: ({ refunds }) => JSON.stringify(refunds),
  fulfillments: ({ fulfillments }) => JSON.stringify(fulfillments),
  availableActions: ({ availableActions }) => availableActions.join(' '),
};
const blank = Object.keys(once).map(() => null);

/** The first row. The mark before it makes spreadsheets read the file as UTF-8. */
export const csvHeader = `\ufeff${row([...Object.keys(repeated), ...Object.keys(ofLine), ...Object.keys(once)])}`;

/** The rows of an order, one for each of its lines. */
export function csvRows(order: ExportedOrder): string {
  const before = cells(repeated, order);
  return order.lines
    .map((line, index) =>
      row([...before, ...cells(ofLine, line), ...(index > 0 ? blank : cells(once, order))]),
    )
    .join('');
}

function cells<T>(columns: Columns<T>, source: T): Cell[] {
  return Object.values(columns).map((cell) => cell(source));
}

/** RFC 4180. */
function row(values: readonly Cell[]): string {
  return `${values.map(field).join(',')}\r\n`;
}

/**
 * A number stands as it is; text that would be a formula gets a single quote before it, which is to be taken away again
 * where text begins with one or more quotes and such a character. Nothing (null) and empty text differ in their quotes.
 */
function field(value: Cell): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return text === '' || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
