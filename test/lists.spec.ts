import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { encodeEvent } from '../src/database/entry.js';
import { createUser, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

interface Identified {
  readonly id: string;
}
interface Item extends Identified {
  readonly [member: string]: unknown;
}
interface AuditItem extends Item {
  readonly at: string;
  readonly action: string;
  readonly actor: { readonly type: string; readonly id: string | null };
  readonly subject: { readonly type: string; readonly id: string | null };
}
type Query = Readonly<Record<string, string | number>>;

let service: TestService;
let users: UserBody[];
/** Who calls; one of the users. */
let admin: UserBody;
let orders: OrderBody[];

const CURRENCIES = ['EUR', 'USD', 'JPY'];
const SKUS = ['TEA', 'CUP', 'POT', 'MILK'];
const placedAt = (index: number) => new Date(Date.UTC(2026, 0, 1 + (index % 10))).toISOString();

beforeAll(async () => {
  service = await startService();
  const me = await service.send('get', '/v1/users/me').expect(200);
  const roles = ['customer', 'staff', 'admin', 'customer'];
  admin = me.body as UserBody;
  users = [];
  for (const role of roles) users.push(await createUser(service, { role }));
  const { id } = await createUser(service);
  const suspended = await service.send('post', `/v1/users/${id}/suspend`).expect(200);
  users.push(suspended.body as UserBody, admin);
  orders = [];
  for (let index = 0; index < 48; index++) orders.push(await placeVariation(index));
});
afterAll(() => service.stop());

/** Orders that differ in everything that a filter looks at. */
async function placeVariation(index: number): Promise<OrderBody> {
  const line = (sku = 'TEA') => ({ sku, name: sku, quantity: 1 + (index % 3), unitPrice: (index % 5) * 250 });
  const order = await placeOrder(service, users[index % 3]?.id ?? '', {
    currency: CURRENCIES[index % 3],
    placedAt: placedAt(index),
    lines: [line(SKUS[index % 4]), line(SKUS[(index * 7) % 4])],
    ...(index % 2 === 0 && { reference: `REF-${index % 16}-${index < 16 ? 'a' : index}` }),
  });
  if (index % 4 === 1) {
    const answer = await service.send('post', `/v1/orders/${order.id}/cancel`).expect(200);
    return answer.body as OrderBody;
  }
  return order;
}

function urlOf(path: string, query: Query): string {
  const parameters = Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]);
  return `${path}?${new URLSearchParams(parameters).toString()}`;
}

/** All pages of a list from the first to the last; `between` runs after each. */
async function walk<T extends Item>(
  path: string,
  query: Query = {},
  between: () => Promise<unknown> = async () => undefined,
): Promise<T[][]> {
  const pages: T[][] = [];
  let cursor: string | null = null;
  do {
    const response = await service
      .send('get', urlOf(path, cursor === null ? query : { ...query, cursor }))
      .expect(200);
    const { data, nextCursor } = response.body as { data: T[]; nextCursor: string | null };
    expect(data.length).toBeLessThanOrEqual(Number(query['limit'] ?? 20));
    expect(response.get('Link') === undefined).toBe(nextCursor === null);
    pages.push(data);
    // Broken cursors may lead round in circles.
    expect(pages.length).toBeLessThan(500);
    cursor = nextCursor;
    await between();
  } while (cursor !== null);
  return pages;
}

const idsOf = (items: readonly Identified[]) => items.map(({ id }) => id);
const newestFirst = (items: readonly Identified[]) => idsOf(items).sort().reverse();
const all = async <T extends Item>(path: string, query: Query = {}) =>
  (await walk<T>(path, { limit: 100, ...query })).flat();

describe('pages', () => {
  it.each([1, 2, 7, 48, 100])('of %i hold every order once, newest first', async (limit) => {
    const pages = await walk('/v1/orders', { limit });
    expect(idsOf(pages.flat())).toEqual(newestFirst(orders));
    for (const page of pages.slice(0, -1)) expect(page).toHaveLength(limit);
    expect(pages).toHaveLength(Math.ceil(orders.length / limit));
  });

  it('have 20 items unless told otherwise', async () => {
    expect((await walk('/v1/orders')).map((page) => page.length)).toEqual([20, 20, 8]);
  });

  it.each([1, 3])('of %i users and of audit events hold everything once, newest first', async (limit) => {
    expect(idsOf((await walk('/v1/users', { limit })).flat())).toEqual(newestFirst(users));
    const events = (await walk<AuditItem>('/v1/audit/events', { limit: limit * 20 })).flat();
    expect(idsOf(events)).toEqual(newestFirst(events));
    const rows = await service.database.query<{ id: string }>('SELECT id FROM audit_events');
    expect(idsOf(events).sort()).toEqual(rows.map(({ id }) => id).sort());
  });

  it('hold what a GET of the item answers', async () => {
    for (const path of ['/v1/orders', '/v1/users', '/v1/audit/events']) {
      for (const item of (await all<Item>(path)).slice(0, 12)) {
        const { body } = await service.send('get', `${path}/${item.id}`).expect(200);
        expect(item).toEqual(body);
      }
    }
  });

  it('leave out what a GET does not find, because its state is gone', async () => {
    const [order] = orders.slice(-3);
    const lose = `UPDATE audit_events SET state = NULL, salt = NULL WHERE subject_id = $1 RETURNING id, old.state, old.salt`;
    const restore = `UPDATE audit_events SET state = $2, salt = $3 WHERE id = $1`;
    const client = await service.database.connect(service.database.superuserUrl);
    await client.query('SET session_replication_role = replica');
    const { rows } = await client.query<Identified & { state: Buffer; salt: Buffer }>(lose, [order?.id]);
    await service.send('get', `/v1/orders/${order?.id}`).expect(404);
    const left = newestFirst(orders.filter((each) => each !== order));
    expect(idsOf(await all('/v1/orders'))).toEqual(left);
    for (const { id, state, salt } of rows) await client.query(restore, [id, state, salt]);
    await client.end();
  });

  it('are linked: rel="next" leads where nextCursor leads', async () => {
    const query = { limit: 2, currency: 'EUR', placedFrom: '2026-01-01T00:00:00+00:00', sku: 'TEA' };
    const first = await service.send('get', urlOf('/v1/orders', query)).expect(200);
    const [, target = ''] = /^<(\/v1\/orders\?[^>]+)>; rel="next"$/.exec(first.get('Link') ?? '') ?? [];
    const linked = await service.send('get', target).expect(200);
    const cursor = first.body.nextCursor as string;
    const followed = await service.send('get', urlOf('/v1/orders', { ...query, cursor })).expect(200);
    expect(linked.body).toEqual(followed.body);
    expect(linked.body.data.length).toBeGreaterThan(0);
  });

  it('of an order that does not exist are not found, of a user without orders are empty', async () => {
    await service.send('get', `/v1/orders/${randomUUID()}/events`).expect(404);
    const nobody = await service.send('get', urlOf('/v1/orders', { userId: randomUUID() })).expect(200);
    expect(nobody.body).toEqual({ data: [], nextCursor: null });
  });
});

describe('the events of one subject', () => {
  it('come oldest first, each once, each with what it changed, whatever the page', async () => {
    const { id } = await createUser(service, { name: 'Name 1' });
    const rename = (name: string) =>
      service.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({ name }).expect(200);
    for (let version = 2; version <= 7; version++) await rename(`Name ${version}`);
    for (const limit of [1, 2, 3, 7, 100]) {
      const pages = await walk(`/v1/users/${id}/events`, { limit });
      const events = pages.flat();
      expect(events.map(({ version }) => version)).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(events[0]?.['changes']).toEqual([]);
      for (const [index, event] of events.slice(1).entries()) {
        const change = { pointer: '/name', from: `Name ${index + 1}`, to: `Name ${index + 2}` };
        expect(event['changes']).toEqual([change]);
      }
      expect(pages).toHaveLength(Math.ceil(7 / limit));
    }
    const audit = await all<AuditItem>('/v1/audit/events', { subjectId: id });
    const own = await all(`/v1/users/${id}/events`);
    expect(idsOf(audit)).toEqual(idsOf(own).reverse());
    users.push((await service.send('get', `/v1/users/${id}`).expect(200)).body as UserBody);
  });

  it('are its changes alone: a sign-in is in the audit trail', async () => {
    expect(await all(`/v1/users/${admin.id}/events`)).toMatchObject([{ version: 1, action: 'user.created' }]);
    const audit = await all<AuditItem>('/v1/audit/events', { subjectId: admin.id });
    expect(audit.map(({ action }) => action)).toEqual(['user.signed-in', 'user.created']);
  });

  it('are followed to the end while there are more of them', async () => {
    const { id } = await createUser(service, { name: 'Name 1' });
    let version = 1;
    const rename = async () => {
      if (version >= 6) return;
      version++;
      await service
        .send('patch', `/v1/users/${id}`)
        .set('If-Match', '*')
        .send({ name: `Name ${version}` })
        .expect(200);
    };
    await rename();
    const pages = await walk(`/v1/users/${id}/events`, { limit: 1 }, rename);
    expect(pages.flat().map((event) => event['version'])).toEqual([1, 2, 3, 4, 5, 6]);
    users.push((await service.send('get', `/v1/users/${id}`).expect(200)).body as UserBody);
  });
});

describe('filters', () => {
  const orderFilters = () =>
    fc.record(
      {
        userId: fc.constantFrom(...users.slice(0, 4).map(({ id }) => id)),
        status: fc.constantFrom('placed', 'cancelled', 'completed'),
        paymentStatus: fc.constantFrom('unpaid', 'not_required', 'paid'),
        fulfillmentStatus: fc.constantFrom('unfulfilled', 'fulfilled'),
        currency: fc.constantFrom(...CURRENCIES, 'GBP'),
        reference: fc.constantFrom('REF-2-a', 'REF-0-16', 'REF-2', 'ref-2-a'),
        sku: fc.constantFrom(...SKUS, 'tea', 'NONE'),
        placedFrom: fc.nat(10).map(placedAt),
        placedTo: fc.nat(10).map(placedAt),
        totalMin: fc.nat(4_000),
        totalMax: fc.nat(4_000),
      },
      { requiredKeys: [] },
    );
  type OrderFilters = Partial<Record<string, string | number>>;

  /** What the filters mean, said once more. */
  const matches = (order: OrderBody, filters: OrderFilters) =>
    Object.entries(filters).every(([name, value = '']) => {
      switch (name) {
        case 'sku':
          return (order['lines'] as { sku: string }[]).some(({ sku }) => sku === value);
        case 'placedFrom':
          return Date.parse(String(order['placedAt'])) >= Date.parse(String(value));
        case 'placedTo':
          return Date.parse(String(order['placedAt'])) < Date.parse(String(value));
        case 'totalMin':
          return order.total >= Number(value);
        case 'totalMax':
          return order.total <= Number(value);
        default:
          return order[name] === value;
      }
    });
  const expectSelection = async (filters: OrderFilters) => {
    const given = Object.entries(filters).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    );
    const query = Object.fromEntries(given) as Query;
    const expected = newestFirst(orders.filter((order) => matches(order, query)));
    expect(idsOf((await walk('/v1/orders', { ...query, limit: 7 })).flat())).toEqual(expected);
    return expected.length;
  };

  it.each([
    'userId',
    'status',
    'paymentStatus',
    'fulfillmentStatus',
    'currency',
    'reference',
    'sku',
    'placedFrom',
    'placedTo',
    'totalMin',
    'totalMax',
  ] as const)('%s alone selects exactly the orders that it names', async (name) => {
    const values = new Set(fc.sample(orderFilters(), 300).flatMap((filters) => filters[name] ?? []));
    const found: number[] = [];
    for (const value of [...values].slice(0, 5)) found.push(await expectSelection({ [name]: value }));
    expect(Math.max(...found)).toBeGreaterThan(0);
  });

  it('together they select what all of them name', () =>
    fc.assert(
      fc.asyncProperty(orderFilters(), async (filters) => {
        await expectSelection(filters);
      }),
      { numRuns: 40 },
    ));

  it('bounds include the lower and exclude the upper instant; totals include both', async () => {
    const count = async (query: Query) => (await all('/v1/orders', query)).length;
    const of = (test: (order: OrderBody) => boolean) => orders.filter(test).length;
    const third = placedAt(3);
    expect(await count({ placedFrom: third, placedTo: placedAt(4) })).toBe(
      of((each) => each['placedAt'] === third),
    );
    expect(await count({ placedFrom: third, placedTo: third })).toBe(0);
    const { total = 0 } = orders[3] ?? {};
    expect(await count({ totalMin: total, totalMax: total })).toBe(of((each) => each.total === total));
    expect(
      await count({ placedFrom: '2026-01-04T05:30:00+05:30', placedTo: '2026-01-04T00:00:00.001Z' }),
    ).toBe(of((each) => each['placedAt'] === third));
  });

  it('of users select by e-mail in any case, role and status', async () => {
    const [ada] = users;
    const select = async (query: Query) => idsOf(await all('/v1/users', query));
    const expected = (test: (user: UserBody) => boolean) => idsOf(users.filter(test)).sort().reverse();
    expect(await select({ email: ada?.email.toUpperCase() ?? '' })).toEqual([ada?.id]);
    expect(await select({ email: ada?.email.slice(1) ?? '' })).toEqual([]);
    expect(await select({ email: '%' })).toEqual([]);
    for (const role of ['customer', 'staff', 'auditor', 'admin']) {
      expect(await select({ role })).toEqual(expected((user) => user.role === role));
      for (const status of ['active', 'suspended', 'erased']) {
        expect(await select({ role, status })).toEqual(
          expected((user) => user.role === role && user.status === status),
        );
      }
    }
  });

  it('of audit events select by subject, actor, action and time, alone and together', async () => {
    const events = await all<AuditItem>('/v1/audit/events');
    const expectEvents = async (query: Query, test: (event: AuditItem) => boolean) => {
      const expected = idsOf(events.filter(test));
      expect(idsOf((await walk('/v1/audit/events', { ...query, limit: 13 })).flat())).toEqual(expected);
      return expected.length;
    };
    const middle = events[Math.floor(events.length / 2)]?.at ?? '';
    const subjectId = orders[1]?.id ?? '';
    for (const type of ['user', 'order']) {
      await expectEvents({ subjectType: type }, ({ subject }) => subject.type === type);
      await expectEvents(
        { subjectType: type, subjectId },
        ({ subject }) => type === 'order' && subject.id === subjectId,
      );
    }
    for (const action of ['order.placed', 'order.cancelled', 'user.created', 'user.updated']) {
      expect(await expectEvents({ action }, (event) => event.action === action)).toBeGreaterThan(0);
      await expectEvents({ action, from: middle }, (event) => event.action === action && event.at >= middle);
      await expectEvents({ action, to: middle }, (event) => event.action === action && event.at < middle);
    }
    await expectEvents({ subjectId }, ({ subject }) => subject.id === subjectId);
    await expectEvents({ from: middle, to: middle }, () => false);
    const byAdmin = ({ actor }: AuditItem) => actor.id === admin.id;
    expect(await expectEvents({ actorId: admin.id }, byAdmin)).toBeGreaterThan(orders.length);
    await expectEvents(
      { actorId: admin.id, action: 'order.cancelled' },
      (event) => byAdmin(event) && event.action === 'order.cancelled',
    );
    const signedIn = { subjectId: admin.id, action: 'user.signed-in' };
    expect(await expectEvents(signedIn, ({ action }) => action === 'user.signed-in')).toBe(1);
    await expectEvents({ actorId: randomUUID() }, () => false);
    await expectEvents({ subjectType: 'api-key' }, () => false);
  });
});

describe('a list that grows while it is read', () => {
  it('still holds everything that was there, once', async () => {
    const before = newestFirst(orders);
    const pages = await walk('/v1/orders', { limit: 5 }, async () => {
      orders.push(await placeOrder(service, users[0]?.id ?? ''));
    });
    const ids = idsOf(pages.flat());
    expect(ids).toEqual(before);
    expect(orders.length).toBeGreaterThan(before.length);
  });

  it('still does when others write at the same time', async () => {
    const before = newestFirst(users);
    const writing = Array.from({ length: 30 }, async () => createUser(service));
    const ids = idsOf((await walk('/v1/users', { limit: 1 })).flat());
    users.push(...(await Promise.all(writing)));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => before.includes(id))).toEqual(before);
    expect(ids).toEqual([...ids].sort().reverse());
  });
});

describe('among thousands of others', () => {
  const CROWD = 6_500;

  /** Users with their events, as the service would have written them, in one transaction. */
  beforeAll(async () => {
    const at = new Date().toISOString();
    const crowd = Array.from({ length: CROWD }, (_, number) => {
      const state = {
        id: uuidv7(),
        version: 1,
        name: 'Crowd',
        email: `crowd-${number}@example.com`,
        role: 'customer',
        status: 'active',
        createdAt: at,
        updatedAt: at,
      };
      const id = uuidv7();
      const origin = { actor: { type: 'system', id: null }, requestId: uuidv7() } as const;
      return { id, origin, ...encodeEvent({ id, origin, event: { action: 'user.created', state } }) };
    });
    await service.database.query(
      `WITH crowd AS (
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bytea[], $6::bytea[], $7::bytea[])
           AS crowd (event_id, id, email, request_id, entry, salt, state)
       ), inserted AS (
         INSERT INTO users (id, version, name, email, role, status, created_at, updated_at)
         SELECT id, 1, 'Crowd', email, 'customer', 'active', $8::timestamptz, $8::timestamptz FROM crowd
       )
       INSERT INTO audit_events (id, at, actor_type, action, subject_type, subject_id, subject_version, request_id,
                                 entry, salt, state)
       SELECT event_id, $8::timestamptz, 'system', 'user.created', 'user', id, 1, request_id, entry, salt, state
         FROM crowd`,
      [
        crowd.map(({ id }) => id),
        crowd.map(({ subject }) => subject.id),
        crowd.map((_, number) => `crowd-${number}@example.com`),
        crowd.map(({ origin }) => origin.requestId),
        crowd.map(({ entry }) => entry),
        crowd.map(({ salt }) => salt),
        crowd.map(({ state }) => state),
        at,
      ],
    );
    await service.database.query('ANALYZE users, audit_events');
  });

  it('a filter that hardly anything matches gives short pages, and ends with what there is', async () => {
    const pages = await walk<AuditItem>('/v1/audit/events', { action: 'order.placed', limit: 5 });
    expect(pages.flat().map(({ subject }) => subject.id)).toEqual(newestFirst(orders));
    expect(pages.length).toBeGreaterThan(3 + orders.length / 5);
    expect(pages[0]).toEqual([]);
    const query = { action: 'order.placed', actorId: randomUUID(), limit: 5 };
    expect((await walk('/v1/audit/events', query)).flat()).toEqual([]);
  });

  it('a filter that an index answers needs no more pages than it takes', async () => {
    const [user] = users;
    expect(await walk('/v1/users', { email: user?.email ?? '' })).toEqual([[user]]);
    expect(await walk('/v1/users', { email: 'nobody@example.com' })).toEqual([[]]);
    const admins = newestFirst(users.filter(({ role }) => role === 'admin'));
    expect((await walk('/v1/users', { role: 'admin' })).map(idsOf)).toEqual([admins]);
    expect(await walk('/v1/users', { role: 'auditor' })).toEqual([[]]);
    const pages = await walk<AuditItem>('/v1/audit/events', { subjectId: user?.id ?? '' });
    expect(pages).toHaveLength(1);
    expect(pages.flat()).toHaveLength(1);
    const cancelled = orders.filter(({ status }) => status === 'cancelled');
    const events = await walk<AuditItem>('/v1/audit/events', { action: 'order.cancelled', limit: 100 });
    expect(events.map((page) => page.map(({ subject }) => subject.id))).toEqual([idsOf(cancelled).reverse()]);
    expect(await walk('/v1/audit/events', { actorId: randomUUID() })).toEqual([[]]);
  });
});
