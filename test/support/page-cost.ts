import pg from 'pg';
import { AuditQuery } from '../../src/audit/audit.dto.js';
import { eventsThatFit } from '../../src/audit/audit.service.js';
import type { KeysetQuery } from '../../src/database/keyset.js';
import { OrderQuery } from '../../src/orders/orders.dto.js';
import { searchOrders } from '../../src/orders/search.js';
import { UserQuery } from '../../src/users/users.dto.js';
import { usersThatFit } from '../../src/users/users.service.js';

export type Filters = Readonly<Record<string, string>>;
export type List = 'orders' | 'users' | 'audit_events';

export const listPaths: Readonly<Record<List, string>> = {
  orders: '/v1/orders',
  users: '/v1/users',
  audit_events: '/v1/audit/events',
};

/** How the service searches. */
const searches: Readonly<Record<List, (filters: Filters) => KeysetQuery>> = {
  orders: (filters) => searchOrders(Object.assign(new OrderQuery(), filters)),
  users: (filters) => usersThatFit(Object.assign(new UserQuery(), filters)),
  audit_events: (filters) => eventsThatFit(Object.assign(new AuditQuery(), filters)),
};

/** What the filters mean, said once more. */
const meanings: Readonly<Record<List, Filters>> = {
  orders: {
    userId: 'user_id = ?',
    reference: 'reference = ?',
    sku: 'id IN (SELECT order_id FROM order_lines WHERE sku = ?)',
    status: 'status = ?',
    paymentStatus: 'payment_status = ?',
    fulfillmentStatus: 'fulfillment_status = ?',
    currency: 'currency = ?',
    placedFrom: 'placed_at >= ?',
    placedTo: 'placed_at < ?',
    totalMin: 'total >= ?',
  },
  users: { email: 'email = ?', role: 'role = ?', status: 'status = ?' },
  audit_events: {
    subjectId: 'subject_id = ?',
    actorId: 'actor_id = ?',
    action: 'action = ?',
    subjectType: 'subject_type = ?',
    from: 'at >= ?',
    to: 'at < ?',
  },
};

/** SQL for the ids that fit. */
export function truth(list: List, filters: Filters): string {
  const conditions = Object.entries(filters).map(([name, value]) =>
    (meanings[list][name] ?? '').replace('?', pg.escapeLiteral(value)),
  );
  return `SELECT id FROM ${list} WHERE ${['true', ...conditions].join(' AND ')}`;
}

/**
 * A custom plan is made for the values, as now that they come with the statement; a generic one without knowing them,
 * as for a prepared statement.
 */
export const PLANNING = ['custom', 'generic'];

/** How many buffers the service's own statement looks at for the page of 20 that follows `after`. */
export async function pageCost(
  client: pg.Client,
  list: List,
  filters: Filters,
  planning = 'custom',
  after?: string,
): Promise<number> {
  const { sql, parameters } = searches[list](filters).statement(20, after);
  await client.query(`SET plan_cache_mode = force_${planning}_plan`);
  await client.query(`PREPARE page AS ${sql}`);
  const values = parameters.map((value) => pg.escapeLiteral(String(value))).join(', ');
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
    `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE page (${values})`,
  );
  await client.query('DEALLOCATE page');
  const plan = rows[0]?.['QUERY PLAN'][0].Plan ?? {};
  return (plan['Shared Hit Blocks'] ?? NaN) + (plan['Shared Read Blocks'] ?? NaN);
}
