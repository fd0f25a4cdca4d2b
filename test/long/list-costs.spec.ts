import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { insertEvents } from '../../bench/states.js';
import { loadCrowd, person } from '../support/crowd.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { type Filters, type List, listPaths, pageCost, PLANNING, truth } from '../support/page-cost.js';
import { startService, type TestService } from '../support/service.js';

// What a page costs in buffers: how many pages of tables and indexes PostgreSQL looks at for it. Unlike the time that
// it takes, that does not depend on the machine.

const ORDERS = 200_000;
const EVENTS = Number(process.env['ORDO_TEST_EVENTS'] ?? 200_000);
/** What a page costs at most that an index finds: a buffer for each row, and a few for each index. */
const FOUND = 50;
/** What a page costs at most that gives up: 2,000 rows, wherever they lie. */
const CAPPED = 2_200;

const daysAgo = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
const [buyer, patched, rare, busy, somebody] = [0, 1, 2, 3, 17].map(person) as [
  string,
  string,
  string,
  string,
  string,
];

type Case = readonly [list: List, filters: Filters];

/** Filters that an index answers. */
const selective: Case[] = [
  ['orders', {}],
  ['orders', { userId: buyer }],
  ['orders', { userId: somebody }],
  ['orders', { reference: 'SUBSCRIPTION' }],
  ['orders', { sku: 'BAG' }],
  ['orders', { sku: 'SKU-17' }],
  ...['placed', 'confirmed', 'on_hold', 'completed', 'cancelled'].map((status): Case => [
    'orders',
    { status },
  ]),
  ...['not_required', 'partially_paid', 'overpaid', 'partially_refunded', 'refunded'].map(
    (paymentStatus): Case => ['orders', { paymentStatus }],
  ),
  ['orders', { fulfillmentStatus: 'partially_fulfilled' }],
  ['orders', { placedTo: daysAgo(30) }],
  ['users', {}],
  ['users', { role: 'staff' }],
  ['users', { status: 'suspended' }],
  ['audit_events', {}],
  ['audit_events', { subjectId: buyer }],
  ['audit_events', { subjectId: patched }],
  ['audit_events', { actorId: buyer }],
  ['audit_events', { actorId: busy }],
  ...['order.placed', 'order.confirmed', 'order.held', 'user.signed-in', 'api-key.created'].map(
    (action): Case => ['audit_events', { action }],
  ),
  ...['order', 'user', 'api-key', 'access'].map((subjectType): Case => ['audit_events', { subjectType }]),
  ['audit_events', { from: daysAgo(60), to: daysAgo(30) }],
  ['audit_events', { subjectId: buyer, from: daysAgo(60), to: daysAgo(30) }],
];

/** Filters that nothing or hardly anything fits. */
const rarely: Case[] = [
  ['orders', { userId: randomUUID() }],
  ['orders', { reference: 'ORDER-1234' }],
  ['orders', { reference: 'SUBSCRIPTION', userId: person(4) }],
  ['orders', { reference: 'SUBSCRIPTION', userId: buyer }],
  ['orders', { sku: 'LAMP' }],
  ['orders', { sku: 'NONE' }],
  ['users', { email: 'crowd-17@example.com' }],
  ['users', { email: 'nobody@example.com' }],
  ['users', { role: 'auditor' }],
  ['users', { status: 'erased' }],
  ['audit_events', { subjectId: randomUUID() }],
  ['audit_events', { actorId: rare }],
  ['audit_events', { actorId: randomUUID() }],
  ['audit_events', { action: 'order.lost' }],
  ['audit_events', { subjectType: 'parcel' }],
  ['audit_events', { from: '2101-01-01T00:00:00Z' }],
  ['audit_events', { to: '2001-01-01T00:00:00Z' }],
];

/** Filters that no index answers, or no index alone. */
const unselective: Case[] = [
  ['orders', { currency: 'ISK' }],
  ['orders', { totalMin: '1000000' }],
  ['orders', { paymentStatus: 'unpaid', currency: 'ISK' }],
  ['orders', { fulfillmentStatus: 'fulfilled', status: 'placed' }],
  ['orders', { userId: buyer, sku: 'LAMP' }],
  ['orders', { userId: buyer, status: 'on_hold' }],
  ['orders', { sku: 'BAG', currency: 'ISK' }],
  ['orders', { sku: 'BAG', placedFrom: daysAgo(90), placedTo: daysAgo(89) }],
  ['orders', { placedFrom: '2001-01-01T00:00:00Z', placedTo: daysAgo(800), currency: 'ISK' }],
  ['orders', { placedFrom: '2101-01-01T00:00:00Z' }],
  ['audit_events', { actorId: busy, action: 'order.held' }],
  ['audit_events', { subjectId: buyer, action: 'order.held' }],
];

let database: TestDatabase;
let service: TestService;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect(database.superuserUrl);
  await loadCrowd(client, { users: 5_000, orders: ORDERS, events: EVENTS });
  service = await startService({}, database);
}, 120_000 + EVENTS);
afterAll(async () => {
  await service.stop();
  await database.drop();
});

async function idsOf(sql: string): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(`${sql} ORDER BY id DESC`);
  return rows.map(({ id }) => id);
}

const titled = (cases: readonly Case[]) =>
  cases.map((each): [string, Case] => [`${each[0]} ${JSON.stringify(each[1])}`, each]);

describe('a page costs', () => {
  it.each(titled(selective))('the same everywhere: %s', async (_, each) => {
    const { rows } = await client.query<{ middle: string; end: string }>(
      `SELECT ids[1 + count / 2] AS middle, ids[greatest(count - 20, 1)] AS end
         FROM (SELECT array_agg(id ORDER BY id DESC) AS ids, count(*) FROM (${truth(...each)})) AS fitting`,
    );
    const costs = [];
    for (const after of [undefined, rows[0]?.middle, rows[0]?.end]) {
      for (const planning of PLANNING) costs.push(await pageCost(client, ...each, planning, after));
    }
    expect(Math.max(...costs)).toBeLessThanOrEqual(FOUND);
    expect(Math.max(...costs)).toBeLessThanOrEqual(5 + 1.2 * Math.min(...costs));
  });

  it.each(titled(rarely))('next to nothing where there is nothing: %s', async (_, each) => {
    expect((await idsOf(truth(...each))).length).toBeLessThan(20);
    for (const planning of PLANNING)
      expect(await pageCost(client, ...each, planning)).toBeLessThanOrEqual(FOUND);
  });

  it.each(titled(unselective))('no more than so many rows: %s', async (_, each) => {
    const places = await idsOf(
      `SELECT id FROM (SELECT id, row_number() OVER (ORDER BY id) % 50000 AS place FROM ${each[0]}) AS all_of_it
        WHERE place = 0`,
    );
    const costs = [];
    for (const after of [undefined, ...places.slice(0, 5)]) {
      for (const planning of PLANNING) costs.push(await pageCost(client, ...each, planning, after));
    }
    expect(Math.max(...costs)).toBeLessThanOrEqual(CAPPED);
    expect(Math.max(...costs)).toBeGreaterThan(FOUND);
  });
});

describe('without one of its indexes', () => {
  it.each<[string, Case]>([
    ['orders_user_idx', ['orders', { userId: buyer }]],
    ['orders_reference_idx', ['orders', { reference: 'SUBSCRIPTION' }]],
    ['order_lines_sku_idx', ['orders', { sku: 'SKU-17' }]],
    ['orders_status_idx', ['orders', { status: 'on_hold' }]],
    ['orders_payment_status_idx', ['orders', { paymentStatus: 'overpaid' }]],
    ['orders_fulfillment_status_idx', ['orders', { fulfillmentStatus: 'partially_fulfilled' }]],
    ['orders_displaced_idx', ['orders', { placedTo: daysAgo(30) }]],
    ['users_role_idx', ['users', { role: 'staff' }]],
    ['users_status_idx', ['users', { status: 'suspended' }]],
    ['audit_events_subject_idx', ['audit_events', { subjectId: buyer }]],
    ['audit_events_actor_idx', ['audit_events', { actorId: busy }]],
    ['audit_events_action_idx', ['audit_events', { action: 'order.held' }]],
    ['audit_events_subject_type_idx', ['audit_events', { subjectType: 'api-key' }]],
    ['audit_events_displaced_idx', ['audit_events', { to: daysAgo(30) }]],
  ])('%s, the same page costs too much', async (index, each) => {
    await client.query('BEGIN');
    await client.query(`DROP INDEX ${index}`);
    const without = await pageCost(client, ...each);
    await client.query('ROLLBACK');
    expect(without).toBeGreaterThan(FOUND);
  });
});

describe('over HTTP', () => {
  /** Stores the events that these orders are read from: the crowd's are those of others. */
  async function tellOf(orders: string): Promise<void> {
    const missing = `NOT EXISTS (SELECT FROM audit_events WHERE subject_id = orders.id)`;
    await client.query(insertEvents('orders', `id IN (${orders}) AND ${missing}`));
  }

  it.each(
    titled([
      ['orders', { status: 'on_hold' }],
      ['orders', { reference: 'SUBSCRIPTION' }],
      ['orders', { sku: 'LAMP' }],
      ['orders', { currency: 'ISK' }],
      ['orders', { userId: buyer, status: 'on_hold' }],
      ['orders', { userId: buyer, sku: 'LAMP' }],
      ['orders', { placedFrom: daysAgo(61), placedTo: daysAgo(60) }],
      ['orders', { placedFrom: daysAgo(1_240), placedTo: daysAgo(1_239) }],
      ['orders', { sku: 'SKU-17', placedTo: daysAgo(800) }],
      ['audit_events', { actorId: rare }],
      ['audit_events', { action: 'order.held' }],
      ['audit_events', { subjectType: 'access' }],
      ['audit_events', { subjectId: patched, from: daysAgo(31), to: daysAgo(30) }],
      ['audit_events', { from: daysAgo(31), to: daysAgo(30) }],
    ]),
  )('all pages together hold what there is: %s', async (_, each) => {
    const [list, filters] = each;
    if (list === 'orders') await tellOf(truth(...each));
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const query: Filters = { ...filters, limit: '50', ...(cursor !== null && { cursor }) };
      const url = `${listPaths[list]}?${new URLSearchParams(query).toString()}`;
      const { body } = await service.send('get', url).expect(200);
      const page = body as { data: { id: string }[]; nextCursor: string | null };
      ids.push(...page.data.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    const expected = await idsOf(truth(...each));
    expect(expected.length).toBeGreaterThan(0);
    expect(ids).toEqual(expected);
  });
});
