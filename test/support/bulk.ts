import { insertEvents } from '../../bench/states.js';
import type { TestDatabase } from './database.js';

/**
 * Loads orders of the user past the service and its triggers, each with the event that it is read from. Each has two
 * lines; every tenth is paid. `bytes` of metadata make them as large as wished.
 */
export async function loadOrders(
  database: TestDatabase,
  userId: string,
  count: number,
  { bytes = 0 } = {},
): Promise<void> {
  const client = await database.connect(database.superuserUrl);
  await client.query(`SET session_replication_role = replica`);
  await client.query(
    `INSERT INTO orders (id, version, user_id, reference, currency, status, payment_status, fulfillment_status,
                         subtotal, discount, tax, shipping, total, paid, refunded, metadata, placed_at, created_at, updated_at)
     SELECT uuidv7(), 1 + paid::integer, $1, 'LOADED-' || number, CASE WHEN paid THEN 'USD' ELSE 'EUR' END, 'placed',
            CASE WHEN paid THEN 'paid' ELSE 'unpaid' END, 'unfulfilled', 2000, 0, 0, 0, 2000, paid::integer * 2000, 0,
            $2, now(), now(), now()
       FROM (SELECT number, number % 10 = 0 AS paid FROM generate_series(1, $3::integer) AS number) AS orders`,
    [userId, bytes === 0 ? {} : { text: 'x'.repeat(bytes) }, count],
  );
  await client.query(
    `INSERT INTO order_lines (order_id, order_version, position, sku, name, quantity, unit_price, discount_ppm, tax_ppm,
                              subtotal, discount, tax, total)
     SELECT id, 1, position, 'SKU-' || position, 'Green tea, 250 g', 1, 1000, 0, 0, 1000, 0, 0, 1000
       FROM orders, generate_series(1, 2) AS position WHERE user_id = $1 AND reference LIKE 'LOADED-%'`,
    [userId],
  );
  await client.query(
    `INSERT INTO order_ledger (order_id, order_version, kind, amount, provider, provider_reference, at)
     SELECT id, 2, 'payment', 2000, 'bank', id, now()
       FROM orders WHERE user_id = $1 AND paid > 0 AND reference LIKE 'LOADED-%'`,
    [userId],
  );
  await client.query(insertEvents('orders', `reference LIKE 'LOADED-%'`));
  await client.query('ANALYZE');
  await client.end();
}
