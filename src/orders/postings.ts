import type { Queryable } from '../database/snapshot.js';
import type { Transaction } from '../database/transaction.js';

/** Money that came in, as the provider booked it. `version` is the one that the order got by it. */
export interface Payment {
  readonly version: number;
  readonly amount: number;
  readonly provider: string;
  readonly providerReference: string;
  readonly method: string | null;
  readonly at: string;
}

/** Units of a line that were refunded, and their share of the line's total. */
export interface RefundedUnits {
  readonly position: number;
  readonly quantity: number;
  readonly amount: number;
}

/** Money that went back; without lines it is not about certain units. */
export interface Refund {
  readonly version: number;
  readonly amount: number;
  readonly reason: string;
  readonly lines: readonly RefundedUnits[];
  readonly at: string;
}

/** Units of a line. */
export interface Units {
  readonly position: number;
  readonly quantity: number;
}

/** What was sent out. */
export interface Fulfillment {
  readonly version: number;
  readonly lines: readonly Units[];
  readonly carrier: string | null;
  readonly trackingNumber: string | null;
  readonly at: string;
}

/** What was added to an order after it was placed, oldest first; none of it ever changes. */
export interface Postings {
  readonly payments: readonly Payment[];
  readonly refunds: readonly Refund[];
  readonly fulfillments: readonly Fulfillment[];
}

export const NO_POSTINGS: Postings = { payments: [], refunds: [], fulfillments: [] };

type Row<T> = Omit<T, 'at'> & { readonly orderId: string; readonly at: Date };
type LedgerRow = Row<Payment & Refund> & { readonly kind: 'payment' | 'refund' };

/** The postings of these orders, by order; an order without any is missing. */
export async function findPostings(
  database: Queryable,
  orderIds: readonly string[],
): Promise<Map<string, Postings>> {
  if (orderIds.length === 0) return new Map();
  const ledger = await database.query<LedgerRow[]>(
    `SELECT order_id AS "orderId", order_version AS version, kind, amount, provider,
            provider_reference AS "providerReference", method, reason, at,
            (SELECT coalesce(json_agg(json_build_object('position', position, 'quantity', quantity, 'amount', units.amount)
                                      ORDER BY position), '[]')
               FROM order_refund_lines AS units
              WHERE (units.order_id, units.order_version) = (ledger.order_id, ledger.order_version)) AS lines
       FROM order_ledger AS ledger
      WHERE order_id = ANY($1::uuid[])
      ORDER BY order_id, order_version`,
    [orderIds],
  );
  const fulfillments = await database.query<Row<Fulfillment>[]>(
    `SELECT order_id AS "orderId", order_version AS version, carrier, tracking_number AS "trackingNumber", at,
            (SELECT coalesce(json_agg(json_build_object('position', position, 'quantity', quantity) ORDER BY position), '[]')
               FROM order_fulfillment_lines AS units
              WHERE (units.order_id, units.order_version) = (sent.order_id, sent.order_version)) AS lines
       FROM order_fulfillments AS sent
      WHERE order_id = ANY($1::uuid[])
      ORDER BY order_id, order_version`,
    [orderIds],
  );
  const byOrder = (id: string): Postings => ({
    payments: ledger.filter(({ orderId, kind }) => orderId === id && kind === 'payment').map(toPayment),
    refunds: ledger.filter(({ orderId, kind }) => orderId === id && kind === 'refund').map(toRefund),
    fulfillments: fulfillments.filter(({ orderId }) => orderId === id).map(toFulfillment),
  });
  const known = new Set([...ledger, ...fulfillments].map(({ orderId }) => orderId));
  return new Map([...known].map((id) => [id, byOrder(id)]));
}

function toPayment({ version, amount, provider, providerReference, method, at }: LedgerRow): Payment {
  return { version, amount, provider, providerReference, method, at: at.toISOString() };
}

function toRefund({ version, amount, reason, lines, at }: LedgerRow): Refund {
  return { version, amount, reason, lines, at: at.toISOString() };
}

function toFulfillment({ version, lines, carrier, trackingNumber, at }: Row<Fulfillment>): Fulfillment {
  return { version, lines, carrier, trackingNumber, at: at.toISOString() };
}

/** Stores a payment that made this version of a locked order. */
export async function insertPayment(tx: Transaction, orderId: string, payment: Payment): Promise<void> {
  const { version, amount, provider, providerReference, method, at } = payment;
  await tx.query(
    `INSERT INTO order_ledger (order_id, order_version, kind, amount, provider, provider_reference, method, at)
     VALUES ($1, $2, 'payment', $3, $4, $5, $6, $7)`,
    [orderId, version, amount, provider, providerReference, method, at],
  );
}

/** Stores a refund that made this version of a locked order. */
export async function insertRefund(tx: Transaction, orderId: string, refund: Refund): Promise<void> {
  const { version, amount, reason, lines, at } = refund;
  await tx.query(
    `INSERT INTO order_ledger (order_id, order_version, kind, amount, reason, at) VALUES ($1, $2, 'refund', $3, $4, $5)`,
    [orderId, version, amount, reason, at],
  );
  if (lines.length === 0) return;
  await tx.query(
    `INSERT INTO order_refund_lines (order_id, order_version, position, quantity, amount)
     SELECT $1, $2, position, quantity, amount
       FROM json_to_recordset($3) AS units (position integer, quantity integer, amount bigint)`,
    [orderId, version, JSON.stringify(lines)],
  );
}

/** Stores a fulfillment that made this version of a locked order. */
export async function insertFulfillment(tx: Transaction, orderId: string, sent: Fulfillment): Promise<void> {
  const { version, lines, carrier, trackingNumber, at } = sent;
  await tx.query(
    `INSERT INTO order_fulfillments (order_id, order_version, carrier, tracking_number, at) VALUES ($1, $2, $3, $4, $5)`,
    [orderId, version, carrier, trackingNumber, at],
  );
  await tx.query(
    `INSERT INTO order_fulfillment_lines (order_id, order_version, position, quantity)
     SELECT $1, $2, position, quantity FROM json_to_recordset($3) AS units (position integer, quantity integer)`,
    [orderId, version, JSON.stringify(lines)],
  );
}
