import { randomUUID } from 'node:crypto';

/** One row for `insert`, by its columns' names. */
export type Row = Readonly<Record<string, unknown>>;

/** A statement and its parameters. */
export type Statement = readonly [sql: string, ...parameters: unknown[]];

const AT = '2026-01-02T03:04:05.678Z';

/** An INSERT of one row. */
export function insert(table: string, row: Row): Statement {
  const columns = Object.keys(row);
  const places = columns.map((_, index) => `$${index + 1}`);
  return [
    `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places.join(', ')})`,
    ...Object.values(row),
  ];
}

/** A user at version 1. */
export function userRow(id: string, columns: Row = {}): Row {
  return {
    id,
    version: 1,
    name: 'Ada Lovelace',
    email: `${id}@example.com`,
    role: 'customer',
    status: 'active',
    created_at: AT,
    updated_at: AT,
    ...columns,
  };
}

/** An order at version 1, of which nothing was paid. */
export function orderRow(id: string, userId: string, columns: Row = {}): Row {
  return {
    id,
    version: 1,
    user_id: userId,
    currency: 'EUR',
    status: 'placed',
    payment_status: 'unpaid',
    fulfillment_status: 'unfulfilled',
    subtotal: 1_000,
    discount: 100,
    tax: 171,
    shipping: 29,
    total: 1_100,
    paid: 0,
    refunded: 0,
    metadata: {},
    placed_at: AT,
    created_at: AT,
    updated_at: AT,
    ...columns,
  };
}

/** A line whose amounts are those of `orderRow`, without the shipping. */
export function lineRow(orderId: string, columns: Row = {}): Row {
  return {
    order_id: orderId,
    order_version: 1,
    position: 1,
    sku: 'TEA-250',
    name: 'Green tea',
    quantity: 2,
    unit_price: 500,
    discount_ppm: 100_000,
    tax_ppm: 190_000,
    subtotal: 1_000,
    discount: 100,
    tax: 171,
    total: 1_071,
    ...columns,
  };
}

/** The event of a subject's version; its entry is none that the service would write. */
export function eventRow(type: string, id: string, version = 1, columns: Row = {}): Row {
  return {
    id: randomUUID(),
    at: AT,
    actor_type: 'system',
    action: `${type}.touched`,
    subject_type: type,
    subject_id: id,
    subject_version: version,
    request_id: randomUUID(),
    entry: Buffer.from(`${type} ${id} ${version}`),
    ...columns,
  };
}
