import pg from 'pg';
import { hash } from '@node-rs/argon2';
import { insertEvents } from './states.js';
import type { Data } from './workloads.js';

const PASSWORD = 'everybody in the benchmark';
const CALLERS = 8;
/** Each of them has 25 orders, five more than a page shows. */
const ORDERS_OF_REGULAR = 25;

/** Rows that satisfy every rule of the schema, in one transaction as its deferred keys want it. */
const statements = (orders: number) => [
  `CREATE TEMP TABLE loaded_users ON COMMIT DROP AS
     SELECT uuidv7() AS id, n, CASE WHEN n > ${CALLERS} THEN 'customer' WHEN n > 0 THEN 'staff' ELSE 'admin' END AS role
       FROM generate_series(0, ${orders + CALLERS}) AS n`,
  `INSERT INTO users (id, version, name, email, role, status, created_at, updated_at)
     SELECT id, 1, initcap(role) || ' ' || n, role || n || '@example.com', role, 'active', now(), now() FROM loaded_users`,
  `CREATE TEMP TABLE loaded_orders ON COMMIT DROP AS
     SELECT uuidv7() AS id, regular.id AS user_id, number.n
       FROM generate_series(0, ${orders - 1}) AS number (n)
       JOIN loaded_users AS regular ON regular.n = ${CALLERS + 1} + number.n / ${ORDERS_OF_REGULAR}`,
  `CREATE TEMP TABLE loaded_lines ON COMMIT DROP AS
     SELECT *, subtotal - discount AS net, round((subtotal - discount) * 0.19) AS tax
       FROM (SELECT *, quantity * unit_price AS subtotal, round(quantity * unit_price * 0.05) AS discount
               FROM (SELECT loaded_orders.id AS order_id, position, (n * 7 + position) % 5000 AS article,
                            1 + (n + position) % 9 AS quantity, 100 + (n * 37 + position * 11) % 20000 AS unit_price
                       FROM loaded_orders, generate_series(1, 3) AS position) AS terms) AS amounts`,
  `INSERT INTO orders (id, version, user_id, reference, currency, status, payment_status, fulfillment_status, subtotal,
                       discount, tax, shipping, total, paid, refunded, note, metadata, placed_at, created_at, updated_at)
     SELECT id, 1, user_id, 'LOADED-' || n, 'EUR', 'placed', 'unpaid', 'unfulfilled', sum(subtotal), sum(discount),
            sum(tax), 490, sum(net + tax) + 490, 0, 0, NULL, '{"channel": "web"}', now(), now(), now()
       FROM loaded_orders JOIN loaded_lines ON order_id = id GROUP BY id, user_id, n ORDER BY n`,
  `INSERT INTO order_lines (order_id, order_version, position, sku, name, quantity, unit_price, discount_ppm, tax_ppm,
                            subtotal, discount, tax, total)
     SELECT order_id, 1, position, 'ART-' || article, 'Article number ' || article, quantity, unit_price, 50000, 190000,
            subtotal, discount, tax, net + tax FROM loaded_lines`,
  insertEvents('users'),
  insertEvents('orders'),
];

/** Fills the database at `url`, as its superuser, with `size` orders and as many customers. */
export async function loadData(url: string, size: number): Promise<Data> {
  // One hash for all: checking it costs the same for each of them.
  const passwordHash = await hash(PASSWORD, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('BEGIN');
    for (const statement of statements(size)) await client.query(statement);
    await client.query(`INSERT INTO passwords (user_id, hash) SELECT id, $1 FROM users`, [passwordHash]);
    await client.query('COMMIT');
    await client.query('VACUUM (FREEZE, ANALYZE)');
    const read = async (sql: string) => (await client.query<{ id: string; email: string }>(sql)).rows;
    const users = await read(`SELECT id, email FROM users WHERE role = 'customer'`);
    const orders = await read(`SELECT id FROM orders`);
    const regulars = await read(`SELECT user_id AS id FROM orders GROUP BY user_id HAVING count(*) > 20`);
    const callers = await read(`SELECT id, email FROM users WHERE role = 'staff'`);
    return {
      users,
      regulars: regulars.map(({ id }) => id),
      orders: orders.map(({ id }) => id),
      callers,
      password: PASSWORD,
    };
  } finally {
    await client.end();
  }
}
