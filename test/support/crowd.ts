import type pg from 'pg';

/** How many rows `loadCrowd` makes. */
export interface CrowdSize {
  readonly users: number;
  readonly orders: number;
  readonly events: number;
}

/** The id of a user of the crowd, by number from 0. */
export function person(number: number): string {
  return `018bcfe5-6800-7000-8000-${number.toString(16).padStart(12, '0')}`;
}

function personSql(number: string): string {
  return `('018bcfe5-6800-7000-8000-' || lpad(to_hex(${number}), 12, '0'))::uuid`;
}

/**
 * Fills an empty database with users, orders and events in the proportions of a shop that has run for a while: most
 * orders are done, few are under way, one user has a tenth of all, a tenth was imported. What is rare and what is not is
 * the same at both ends of a list, so that their pages can be compared.
 *
 * For a superuser: keys and triggers do not look at these rows, whose events are not those of the orders.
 */
export async function loadCrowd(client: pg.Client, { users, orders, events }: CrowdSize): Promise<void> {
  const run = (sql: string, values: unknown[] = []) => client.query<Record<string, string>>(sql, values);
  await run(`SET session_replication_role = replica`);
  // Later it would change what a page costs.
  for (const table of ['users', 'orders', 'order_lines', 'audit_events']) {
    await run(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  }
  await run(`SET timezone = 'UTC'`);
  // It takes a third of the time to build an index afterwards.
  const { rows: indexes } = await run(
    `SELECT indexrelid::regclass AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
      WHERE indrelid IN ('orders'::regclass, 'order_lines'::regclass, 'audit_events'::regclass)
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)`,
  );
  await run(`DROP INDEX ${indexes.map(({ name }) => name).join(', ')}`);
  await run(
    `INSERT INTO users (id, version, name, email, role, status, created_at, updated_at)
     SELECT ${personSql('number')}, 1, 'Crowd', 'crowd-' || number || '@example.com',
            CASE WHEN number % 1000 = 1 THEN 'staff' ELSE 'customer' END,
            CASE WHEN number % 500 = 2 THEN 'suspended' ELSE 'active' END,
            now(), now()
       FROM generate_series(0, $1::integer - 1) AS number`,
    [users],
  );
  await run(
    `WITH counted AS (
       SELECT number, uuidv7(make_interval(secs => 90.0 * (number - $1 - 1))) AS id
         FROM generate_series(1, $1::integer) AS number
     ), numbered AS (
       SELECT *, CASE WHEN number % 4000 = 10 THEN 'on_hold' WHEN number % 17 = 3 THEN 'cancelled'
                      WHEN number % 97 = 9 THEN 'placed' WHEN number % 89 = 5 THEN 'confirmed' ELSE 'completed' END AS status,
              CASE WHEN number % 2000 = 5 THEN 0 ELSE (number * 7919::bigint) % 100000 + 1 END AS total
         FROM counted OFFSET 0
     ), paid AS (
       SELECT *, CASE WHEN total = 0 THEN 'not_required' WHEN status IN ('placed', 'cancelled') THEN 'unpaid'
                      WHEN number % 2500 = 8 THEN 'overpaid' WHEN number % 500 = 6 THEN 'refunded'
                      WHEN number % 1000 = 1 THEN 'partially_refunded' WHEN status = 'completed' THEN 'paid'
                      WHEN number % 50 = 0 THEN 'partially_paid' ELSE 'unpaid' END AS payment_status,
              uuid_extract_timestamp(id) AS at
         FROM numbered OFFSET 0
     )
     INSERT INTO orders (id, version, user_id, reference, currency, status, held_from, hold_reason, payment_status,
                         fulfillment_status, subtotal, discount, tax, shipping, total, paid, refunded, metadata,
                         placed_at, created_at, updated_at)
     SELECT id, 1, ${personSql('CASE WHEN number % 10 = 0 THEN 0 ELSE 1 + number % ($2::integer - 1) END')},
            CASE WHEN number % 2 = 0 THEN 'ORDER-' || number WHEN number <= $2::integer THEN 'SUBSCRIPTION' END,
            CASE WHEN number % 20000 = 11 THEN 'ISK' WHEN number % 4 = 0 THEN 'USD' ELSE 'EUR' END,
            status, CASE status WHEN 'on_hold' THEN 'confirmed' END, CASE status WHEN 'on_hold' THEN 'stock' END,
            payment_status,
            CASE WHEN status = 'completed' THEN 'fulfilled' WHEN status = 'confirmed' AND number % 20 = 2
                 THEN 'partially_fulfilled' ELSE 'unfulfilled' END,
            total, 0, 0, 0, total,
            CASE payment_status WHEN 'not_required' THEN 0 WHEN 'unpaid' THEN 0 WHEN 'partially_paid' THEN total / 2
                                WHEN 'overpaid' THEN total + 1 ELSE total END,
            CASE payment_status WHEN 'refunded' THEN total WHEN 'partially_refunded' THEN total / 2 ELSE 0 END,
            '{}', CASE WHEN number BETWEEN $1 * 3 / 10 AND $1 * 4 / 10 THEN at - interval '3 years' ELSE at END, at, at
       FROM paid`,
    [orders, users],
  );
  await run(
    `INSERT INTO order_lines (order_id, order_version, position, sku, name, quantity, unit_price, discount_ppm, tax_ppm,
                              subtotal, discount, tax, total)
     SELECT id, 1, position,
            CASE WHEN number % ($1 / 3) = 10 THEN 'LAMP' WHEN number % 5 = 0 THEN 'BAG' ELSE 'SKU-' || number % 2000 END,
            'Article', 1, total, 0, 0, total, 0, 0, total
       FROM (SELECT id, total, row_number() OVER (ORDER BY id) AS number FROM orders) AS placed,
            -- some hold the same article twice
            generate_series(1, CASE WHEN number % 40 = 0 THEN 2 ELSE 1 END) AS position`,
    [orders],
  );
  await run(
    `WITH counted AS (
       SELECT number, uuidv7(make_interval(secs => 60.0 * (number - $1 - 1))) AS id
         FROM generate_series(1, $1::integer) AS number OFFSET 0
     ), told AS (
       SELECT *, uuid_extract_timestamp(id) + make_interval(hours => (number % 40000 = 17)::integer) AS at,
              CASE WHEN number % 10 = 3 THEN 'user.signed-in' WHEN number % 10 = 6 THEN 'order.updated'
                   WHEN number % 10 = 9 THEN 'order.confirmed' WHEN number % 5000 = 11 THEN 'api-key.created'
                   WHEN number % 4000 = 12 THEN 'order.held' WHEN number % 1000 = 14 THEN 'user.sign-in-failed'
                   WHEN number % 500 = 15 THEN 'access.denied' WHEN number % 10 = 5 THEN 'user.created'
                   ELSE 'order.placed' END AS action,
              CASE WHEN number % 10 IN (0, 3) THEN 0 WHEN number % ($1 / 3) = 24 THEN 2
                   WHEN number % 3 = 0 THEN 4 + number % ($2::integer - 4) ELSE 3 END AS actor
         FROM counted OFFSET 0
     ), named AS (
       SELECT *, split_part(action, '.', 1) AS type,
              CASE WHEN number % 100 = 5 THEN NULL ELSE ${personSql('actor')} END AS actor_id,
              CASE WHEN action = 'user.signed-in'
                   THEN ${personSql('CASE WHEN number % 100 = 3 THEN number % $2::integer ELSE 0 END')}
                   WHEN action = 'order.updated' THEN ${personSql('1')}
                   WHEN action NOT IN ('user.sign-in-failed', 'access.denied') THEN uuidv7(at - now()) END AS subject_id,
              CASE WHEN action IN ('user.signed-in', 'user.sign-in-failed', 'access.denied') THEN NULL
                   WHEN action = 'order.updated' THEN 2 + number / 10
                   WHEN action IN ('order.confirmed', 'order.held') THEN 2 ELSE 1 END AS version
         FROM told OFFSET 0
     )
     INSERT INTO audit_events (id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
                               request_id, entry)
     SELECT id, at, CASE WHEN actor_id IS NULL THEN 'anonymous' ELSE 'user' END, actor_id, action, type, subject_id,
            version, id,
            convert_to(concat('{"v":1,"id":"', id, '","at":"', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                              '","actor":', CASE WHEN actor_id IS NULL THEN '{"type":"anonymous","id":null}'
                                                 ELSE '{"type":"user","id":"' || actor_id || '"}' END,
                              ',"action":"', action, '","subject":{"type":"', type, '","id":',
                              coalesce('"' || subject_id || '"', 'null'), ',"version":', coalesce(version::text, 'null'),
                              '},"stateHash":null,"requestId":"', id, '"}'), 'UTF8')
       FROM named`,
    [events, users],
  );
  for (const { definition = '' } of indexes) await run(definition);
  await run(`ANALYZE`);
  await run(`SET session_replication_role = origin`);
}
