import type pg from 'pg';
import type { EventRow } from '../rules/audit.js';
import type { OrderRow, OrderState } from '../rules/orders.js';
import { inTransaction, insertEvent } from './database.js';

/** An idempotency key with what tells its request from others. */
interface Key {
  readonly scope: string;
  readonly key: string;
  readonly fingerprint: Buffer;
}

const ORDER = `
  SELECT id, version, user_id AS "userId", reference, currency, status, payment_status AS "paymentStatus",
         fulfillment_status AS "fulfillmentStatus", subtotal, discount, tax, shipping, total, paid, refunded, note,
         metadata, placed_at AS "placedAt", created_at AS "createdAt", updated_at AS "updatedAt",
         (SELECT json_agg(json_build_object(
                   'position', position, 'sku', sku, 'name', name, 'quantity', quantity, 'unitPrice', unit_price,
                   'discountPpm', discount_ppm, 'taxPpm', tax_ppm, 'subtotal', line.subtotal,
                   'discount', line.discount, 'tax', line.tax, 'total', line.total) ORDER BY position)
            FROM order_lines AS line WHERE order_id = orders.id) AS lines
    FROM orders`;

export async function findOrder(pool: pg.Pool, id: string): Promise<OrderRow | undefined> {
  const query = { name: 'find-order', text: `${ORDER} WHERE id = $1`, values: [id] };
  return (await pool.query<OrderRow>(query)).rows[0];
}

/** So many orders of the user, or of all, that come after the order `after`, newest first. */
export async function listOrders(
  pool: pg.Pool,
  userId: string | undefined,
  after: string | undefined,
  limit: number,
): Promise<OrderRow[]> {
  // A statement for each form of the question, so that each is planned for its index.
  const conditions = [
    ...(userId === undefined ? [] : ['user_id = $2']),
    ...(after === undefined ? [] : [`id < $${userId === undefined ? 2 : 3}`]),
  ];
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  const query = {
    name: `list-orders ${where}`,
    text: `${ORDER} ${where} ORDER BY id DESC LIMIT $1`,
    values: [limit, userId, after].filter((value) => value !== undefined),
  };
  return (await pool.query<OrderRow>(query)).rows;
}

/**
 * Stores an order with its lines, event and key in one transaction. Where an earlier request has the key, stores
 * nothing and answers what that one has left.
 */
export async function placeOrder(
  pool: pg.Pool,
  order: OrderRow,
  event: EventRow,
  key: Key,
): Promise<{ fingerprint: Buffer; state: OrderState } | undefined> {
  return inTransaction(pool, async (client) => {
    const taken = await client.query({
      name: 'take-key',
      text: `INSERT INTO idempotency_keys (scope, key, fingerprint, event_id) VALUES ($1, $2, $3, $4)
             ON CONFLICT (scope, key) DO NOTHING`,
      values: [key.scope, key.key, key.fingerprint, event.id],
    });
    if (taken.rowCount === 0) return firstRequest(client, key);
    await insertOrder(client, order);
    await insertLines(client, order);
    await insertEvent(client, event);
    return undefined;
  });
}

async function firstRequest(client: pg.PoolClient, { scope, key }: Key) {
  const { rows } = await client.query<{ fingerprint: Buffer; state: OrderState }>({
    name: 'first-request',
    text: `SELECT fingerprint, convert_from(state, 'UTF8')::json AS state
             FROM idempotency_keys JOIN audit_events ON audit_events.id = event_id
            WHERE scope = $1 AND key = $2`,
    values: [scope, key],
  });
  return rows[0];
}

async function insertOrder(client: pg.PoolClient, order: OrderRow): Promise<void> {
  await client.query({
    name: 'insert-order',
    text: `INSERT INTO orders (id, version, user_id, reference, currency, status, payment_status, fulfillment_status,
                               subtotal, discount, tax, shipping, total, paid, refunded, note, metadata,
                               placed_at, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
    values: [
      ...[order.id, order.version, order.userId, order.reference, order.currency, order.status],
      ...[order.paymentStatus, order.fulfillmentStatus, order.subtotal, order.discount, order.tax],
      ...[order.shipping, order.total, order.paid, order.refunded, order.note, order.metadata],
      ...[order.placedAt, order.createdAt, order.updatedAt],
    ],
  });
}

async function insertLines(client: pg.PoolClient, { id, lines }: OrderRow): Promise<void> {
  await client.query({
    name: 'insert-lines',
    text: `INSERT INTO order_lines (order_id, order_version, position, sku, name, quantity, unit_price, discount_ppm,
                                    tax_ppm, subtotal, discount, tax, total)
           SELECT $1, 1, * FROM unnest($2::integer[], $3::text[], $4::text[], $5::integer[], $6::bigint[],
                                       $7::integer[], $8::integer[], $9::bigint[], $10::bigint[], $11::bigint[],
                                       $12::bigint[])`,
    values: [
      id,
      lines.map((line) => line.position),
      lines.map((line) => line.sku),
      lines.map((line) => line.name),
      lines.map((line) => line.quantity),
      lines.map((line) => line.unitPrice),
      lines.map((line) => line.discountPpm),
      lines.map((line) => line.taxPpm),
      lines.map((line) => line.subtotal),
      lines.map((line) => line.discount),
      lines.map((line) => line.tax),
      lines.map((line) => line.total),
    ],
  });
}
