import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Response } from 'supertest';
import { canonicalBytes } from '../src/database/canonical.js';
import { expectConsistent } from './support/consistency.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { createKey, createPerson, type Person } from './support/people.js';
import { startProxy } from './support/proxy.js';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

interface Item {
  status: number;
  etag?: string;
  replayed?: boolean;
  body: Record<string, unknown>;
}
interface PreviewBody {
  lines: Record<string, unknown>[];
  totalsHash: string;
  [member: string]: unknown;
}

// Two replicas of the service on one database.
let database: TestDatabase;
let service: TestService;
let replica: TestService;
let admin: UserBody;
let user: UserBody;
let customer: Person;

beforeAll(async () => {
  database = await createDatabase();
  // A deadlock shall fail by the lock timeout, for a retry would hide it; and that is not waited for in full here.
  await database.query(`DO $$ BEGIN
    EXECUTE format('ALTER ROLE ordo_app IN DATABASE %I SET deadlock_timeout = ''1min''', current_database());
    EXECUTE format('ALTER ROLE ordo_app IN DATABASE %I SET lock_timeout = ''2s''', current_database());
  END $$`);
  [service, replica] = await Promise.all([startService({}, database), startService({}, database)]);
  admin = (await service.send('get', '/v1/users/me').expect(200)).body as UserBody;
  user = await createUser(service);
  customer = await createPerson(service);
});
afterAll(async () => {
  await replica.stop();
  await service.stop();
  await expectConsistent(database);
  await database.drop();
});

const newOrder = (members: object = {}) => ({ userId: user.id, currency: 'EUR', lines, ...members });
const newItem = (members: object = {}, idempotencyKey: string = randomUUID()) => ({
  idempotencyKey,
  order: newOrder(members),
});

async function preview(body: object, token = service.adminToken): Promise<Response> {
  return service.as(token).send('post', '/v1/orders/preview').send(body);
}

async function place(key: string, body: object, token = service.adminToken): Promise<Response> {
  return service.as(token).send('post', '/v1/orders').set('Idempotency-Key', key).send(body);
}

async function sendBatch(
  items: unknown,
  { mode, on = service, token = on.adminToken }: { mode?: string; on?: TestService; token?: string } = {},
): Promise<Response> {
  const query = mode === undefined ? '' : `?mode=${mode}`;
  return on.as(token).send('post', `/v1/orders/batch${query}`).send({ items });
}

/** What came of each item of a batch whose envelope is sound. */
async function batch(items: unknown, options: Parameters<typeof sendBatch>[1] = {}): Promise<Item[]> {
  const response = await sendBatch(items, options);
  expect(response.status).toBe(207);
  return (response.body as { data: Item[] }).data;
}

const statuses = (items: readonly Item[]) => items.map(({ status }) => status);
const codes = (items: readonly Item[]) => items.map(({ body }) => body.code);

/** How many orders, events of orders and idempotency keys there are. */
async function counts(): Promise<{ orders: number; events: number; keys: number }> {
  const [row] = await database.query<{ orders: number; events: number; keys: number }>(
    `SELECT (SELECT count(*)::int FROM orders) AS orders,
            (SELECT count(*)::int FROM audit_events WHERE subject_type = 'order') AS events,
            (SELECT count(*)::int FROM idempotency_keys) AS keys`,
  );
  if (row === undefined) throw new Error('No counts');
  return row;
}

async function ordersWith(note: string): Promise<number> {
  const [row] = await database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM orders WHERE note = $1`,
    [note],
  );
  return row?.count ?? 0;
}

describe('a preview', () => {
  it('answers the amounts that the order gets when it is placed', async () => {
    const body = newOrder({ shipping: 490 });
    const previewed = await preview(body);
    expect(previewed.status).toBe(200);
    expect(previewed.get('ETag')).toBeUndefined();
    const { totalsHash, lines: previewedLines, ...rest } = previewed.body as PreviewBody;
    const placed = (await place(randomUUID(), { ...body, expectedTotalsHash: totalsHash })).body as OrderBody;
    expect(placed).toMatchObject(rest);
    expect(placed.lines).toEqual(previewedLines.map((line) => ({ ...line, fulfilled: 0, refunded: 0 })));
  });

  it('names the totals by a hash that anyone can compute, whatever the articles are called', async () => {
    const { body } = (await preview(newOrder({ shipping: 490 }))) as { body: PreviewBody };
    const totals = {
      currency: body.currency,
      lines: body.lines.map(({ position: _position, sku: _sku, name: _name, ...line }) => line),
      shipping: body.shipping,
      subtotal: body.subtotal,
      discount: body.discount,
      tax: body.tax,
      total: body.total,
    };
    expect(body.totalsHash).toBe(createHash('sha256').update(canonicalBytes(totals)).digest('hex'));
    const renamed = lines.map((line) => ({ ...line, name: 'Tea' }));
    const other = await preview(newOrder({ shipping: 490, lines: renamed, note: 'x' }));
    expect((other.body as PreviewBody).totalsHash).toBe(body.totalsHash);
    const dearer = await preview(newOrder({ shipping: 491 }));
    expect((dearer.body as PreviewBody).totalsHash).not.toBe(body.totalsHash);
  });

  it('stores nothing, and asks for no key', async () => {
    const before = await counts();
    for (let index = 0; index < 3; index++) await preview(newOrder({ reference: 'previewed' }));
    expect(await counts()).toEqual(before);
    const placed = await place(randomUUID(), newOrder({ reference: 'previewed' }));
    expect(placed.status).toBe(201);
  });

  it('refuses what placing refuses, with the same body', async () => {
    const reference = randomUUID();
    await placeOrder(service, user.id, { reference });
    const large = [{ sku: 'A', name: 'A', quantity: 2, unitPrice: Number.MAX_SAFE_INTEGER }];
    for (const [body, token] of [
      [newOrder({ reference })],
      [newOrder({ userId: randomUUID() })],
      [newOrder({ lines: [{ ...lines[0], quantity: 0 }], colour: 'red' })],
      [newOrder({ lines: large })],
      [newOrder({ placedAt: '2999-01-01T00:00:00Z' })],
      [newOrder({ expectedTotalsHash: '0'.repeat(64) })],
      [newOrder({ expectedTotalsHash: 'short' })],
      [newOrder({ expectedTotalsHash: null })],
      [newOrder(), customer.accessToken],
    ] as [object, string?][]) {
      const [previewed, placed] = [await preview(body, token), await place(randomUUID(), body, token)];
      expect(previewed.status).toBeGreaterThanOrEqual(400);
      expect(withoutInstance(previewed)).toEqual(withoutInstance(placed));
    }
  });

  it("is the caller's own without userId, which a key has to name", async () => {
    const own = await preview({ currency: 'EUR', lines }, customer.accessToken);
    expect(own.body).toMatchObject({ userId: customer.user.id });
    const key = await createKey(service, ['orders:write']);
    expect((await preview({ currency: 'EUR', lines }, key)).body).toMatchObject({
      status: 422,
      errors: [{ pointer: '/userId', code: 'required' }],
    });
    expect((await preview(newOrder(), key)).status).toBe(200);
  });
});

describe('expectedTotalsHash', () => {
  it('lets nothing be placed that comes to other totals, and tells which they are', async () => {
    const { totalsHash } = (await preview(newOrder())).body as PreviewBody;
    const [key, before] = [randomUUID(), await counts()];
    const changed = newOrder({ shipping: 1, expectedTotalsHash: totalsHash });
    const refused = await place(key, changed);
    expect(refused.body).toMatchObject({ status: 409, code: 'totals-changed' });
    expect(await counts()).toEqual(before);
    const current = (refused.body as { totalsHash: string }).totalsHash;
    expect(current).toBe(((await preview(newOrder({ shipping: 1 }))).body as PreviewBody).totalsHash);
    const upper = { ...changed, expectedTotalsHash: current.toUpperCase() };
    expect((await place(key, upper)).status).toBe(201);
  });

  it('belongs to the request that a key stands for', async () => {
    const { totalsHash } = (await preview(newOrder())).body as PreviewBody;
    const key = randomUUID();
    await place(key, newOrder({ expectedTotalsHash: totalsHash }));
    const other = await place(key, newOrder());
    expect(other.body).toMatchObject({ status: 422, code: 'idempotency-key-reused' });
    const again = await place(key, newOrder({ expectedTotalsHash: totalsHash }));
    expect(again.get('Idempotency-Replayed')).toBe('true');
  });
});

describe('a batch', () => {
  it('places all, in the order of its items, as placing each alone would', async () => {
    const items = Array.from({ length: 100 }, (_, index) =>
      newItem({ reference: randomUUID(), shipping: index }),
    );
    const placed = await batch(items);
    expect(placed.map(({ body }) => body.reference)).toEqual(
      items.map(({ order }) => Object(order).reference),
    );
    for (const { status, etag, replayed, body } of [placed[0], placed[99]].filter(
      (item) => item !== undefined,
    )) {
      const read = await service.send('get', `/v1/orders/${String(body.id)}`).expect(200);
      expect({ status, etag, replayed, body }).toEqual({
        status: 201,
        etag: read.get('ETag'),
        replayed: undefined,
        body: read.body,
      });
    }
  });

  it.each(['independent', 'atomic'])('sent again (%s) answers the same but for `replayed`', async (mode) => {
    const items = [newItem(), newItem({ note: 'Grüße ☕', metadata: { b: '2', a: '1' } }), newItem()];
    const first = await sendBatch(items, { mode });
    const before = await counts();
    const again = await sendBatch(items, { mode, on: replica });
    expect(again.text.replaceAll('"replayed":true,', '')).toBe(first.text);
    expect((again.body as { data: Item[] }).data.map(({ replayed }) => replayed)).toEqual([true, true, true]);
    expect(await counts()).toEqual(before);
  });

  it.each(['independent', 'atomic'])('repeats single placements, and they it (%s)', async (mode) => {
    const [one, two] = [newItem({ note: 'one' }), newItem({ note: 'two' })];
    const single = await place(one.idempotencyKey, one.order);
    const [replayed, fresh] = await batch([{ ...one, idempotencyKey: `"${one.idempotencyKey}"` }, two], {
      mode,
    });
    expect(replayed).toEqual({ status: 201, etag: single.get('ETag'), replayed: true, body: single.body });
    const again = await place(two.idempotencyKey, two.order);
    expect(again.get('Idempotency-Replayed')).toBe('true');
    expect(again.body).toEqual(fresh?.body);
  });

  it('takes no notice of a key in the header', async () => {
    const key = randomUUID();
    for (let index = 0; index < 2; index++) {
      const response = await service
        .send('post', '/v1/orders/batch')
        .set('Idempotency-Key', key)
        .send({ items: [newItem()] });
      expect(response.status).toBe(207);
      expect(response.body).not.toHaveProperty('data.0.replayed');
    }
  });

  it('lets a faulty item fail alone, with pointers from its own order', async () => {
    const [reference, used, before] = [randomUUID(), newItem(), await counts()];
    await place(used.idempotencyKey, used.order);
    const results = await batch([
      newItem({ reference }),
      newItem({ lines: [{ ...lines[0], quantity: 0 }] }),
      { idempotencyKey: randomUUID(), order: [] },
      { idempotencyKey: randomUUID(), order: null },
      newItem({ userId: randomUUID() }),
      newItem({ reference }),
      { ...used, order: newOrder({ note: 'other' }) },
      newItem({ expectedTotalsHash: 'f'.repeat(64) }),
      newItem(),
    ]);
    expect(statuses(results)).toEqual([201, 422, 422, 422, 422, 409, 422, 409, 201]);
    const pointers = results.map(({ body }) => Object(body.errors)[0]?.pointer as unknown);
    expect(pointers.slice(1, 5)).toEqual(['/lines/0/quantity', '', '', '/userId']);
    expect(codes(results).slice(5, 8)).toEqual([
      'already-exists',
      'idempotency-key-reused',
      'totals-changed',
    ]);
    expect(await counts()).toEqual({
      orders: before.orders + 3,
      events: before.events + 3,
      keys: before.keys + 3,
    });
  });

  it('tells each failure as the request that it is part of', async () => {
    const id = randomUUID();
    const response = await service
      .send('post', '/v1/orders/batch')
      .set('X-Request-Id', id)
      .send({ items: [newItem({ currency: 'XXY' })] });
    expect(response.body).toMatchObject({ data: [{ body: { instance: `urn:uuid:${id}`, status: 422 } }] });
  });

  it.each(['independent', 'atomic'])('with a key twice (%s) places one order', async (mode) => {
    const item = newItem();
    const results = await batch([item, newItem(), item, item], { mode });
    expect(results.map(({ replayed }) => replayed)).toEqual([undefined, undefined, true, true]);
    expect(results[2]).toEqual({ ...results[0], replayed: true });
    expect(results[3]).toEqual(results[2]);
  });

  it('with a key twice for different orders places the first, or when atomic none', async () => {
    const [key, note] = [randomUUID(), randomUUID()];
    const items = [newItem({ note }, key), newItem({ note, shipping: 1 }, key), newItem({ note })];
    const refused = await batch(items, { mode: 'atomic' });
    expect(codes(refused)).toEqual(['failed-dependency', 'idempotency-key-reused', 'failed-dependency']);
    expect(await ordersWith(note)).toBe(0);
    const results = await batch(items);
    expect(codes(results)).toEqual([undefined, 'idempotency-key-reused', undefined]);
    expect(await ordersWith(note)).toBe(2);
  });

  it('leaves the key of a faulty item to the next item with it', async () => {
    const key = randomUUID();
    expect(statuses(await batch([newItem({ currency: 'XXY' }, key), newItem({}, key)]))).toEqual([422, 201]);
  });

  it('lets a customer order for nobody else, and a key for whom it names', async () => {
    const { userId: _userId, ...own } = newOrder();
    const items = [{ idempotencyKey: randomUUID(), order: own }, newItem()];
    const asCustomer = await batch(items, { token: customer.accessToken });
    expect(statuses(asCustomer)).toEqual([201, 403]);
    expect(asCustomer[0]?.body).toMatchObject({ userId: customer.user.id, availableActions: ['cancel'] });
    const read = await service
      .as(customer.accessToken)
      .send('get', `/v1/orders/${String(asCustomer[0]?.body.id)}`);
    expect(asCustomer[0]?.etag).toBe(read.get('ETag'));
    const asKey = await batch(items, { token: await createKey(service, ['orders:write']) });
    expect(statuses(asKey)).toEqual([422, 201]);
    expect(asKey[1]?.replayed).toBeUndefined();
    const withoutScope = await sendBatch(items, { token: await createKey(service, ['orders:read']) });
    expect(withoutScope.status).toBe(403);
  });

  it.each([
    ['no items', [], '/items', 'is-objects'],
    [
      '101 items',
      Array.from({ length: 101 }, () => ({ idempotencyKey: 'a', order: {} })),
      '/items',
      'is-objects',
    ],
    ['items that are no list', {}, '/items', 'is-objects'],
    ['an item that is no object', [7], '/items', 'is-objects'],
    ['an item without a key', [{ order: {} }], '/items/0/idempotencyKey', 'required'],
    ['an empty key', [{ idempotencyKey: '', order: {} }], '/items/0/idempotencyKey', 'is-idempotency-key'],
    ['a key in Greek', [{ idempotencyKey: 'α', order: {} }], '/items/0/idempotencyKey', 'is-idempotency-key'],
    ['an item without an order', [{ idempotencyKey: 'a' }], '/items/0/order', 'required'],
    ['one member more', [{ idempotencyKey: 'a', order: {}, x: 1 }], '/items/0/x', 'unknown-member'],
  ])('with %s is refused as a whole', async (_name, items, pointer, code) => {
    const before = await counts();
    const response = await sendBatch(items);
    expect(response.body).toMatchObject({
      status: 422,
      code: 'validation-failed',
      errors: [{ pointer, code }],
    });
    expect(await counts()).toEqual(before);
  });

  it('with an unknown mode or member, or without a body, is refused as a whole', async () => {
    expect((await sendBatch([newItem()], { mode: 'both' })).body).toMatchObject({
      status: 400,
      code: 'invalid-parameter',
    });
    const path = '/v1/orders/batch';
    const more = await service.send('post', path).send({ items: [newItem()], x: 1 });
    expect(more.body).toMatchObject({ status: 422, errors: [{ pointer: '/x', code: 'unknown-member' }] });
    await service.send('post', path).expect(400);
    await service.as(undefined).send('post', path).send({ items: [] }).expect(401);
  });
});

describe('a large batch', () => {
  const many = Array.from({ length: 90 }, () => ({ sku: 'A', name: 'A', quantity: 1, unitPrice: 100 }));

  it.each(['independent', 'atomic'])('is placed (%s), keys that come twice included', async (mode) => {
    const items = Array.from({ length: 99 }, () => newItem({ lines: many }));
    const results = await batch([...items, items[0]], { mode });
    expect(statuses(results)).toEqual(results.map(() => 201));
    expect(new Set(results.map(({ body }) => body.id)).size).toBe(99);
    expect(results[99]).toEqual({ ...results[0], replayed: true });
  });

  it('is 1 MB at most', async () => {
    const response = await sendBatch(
      Array.from({ length: 100 }, () => newItem({ note: 'x'.repeat(11_000) })),
    );
    expect(response.body).toMatchObject({ status: 413, code: 'body-too-large' });
  });
});

describe('an atomic batch', () => {
  it('places nothing when an item fails, and leaves all keys free', async () => {
    const reference = randomUUID();
    await placeOrder(service, user.id, { reference });
    const earlier = newItem();
    await place(earlier.idempotencyKey, earlier.order);
    const before = await counts();
    const items = [newItem(), earlier, newItem({ reference }), newItem({ userId: randomUUID() }), newItem()];
    const results = await batch(items, { mode: 'atomic' });
    expect(statuses(results)).toEqual([424, 424, 409, 422, 424]);
    expect(results[0]?.body).toMatchObject({ status: 424, code: 'failed-dependency' });
    expect(await counts()).toEqual(before);

    const mended = await batch([items[0], earlier, items[4]], { mode: 'atomic' });
    expect(mended.map(({ status, replayed }) => [status, replayed])).toEqual([
      [201, undefined],
      [201, true],
      [201, undefined],
    ]);
  });

  it('places nothing when an item is invalid or not allowed', async () => {
    const before = await counts();
    const own = { currency: 'EUR', lines };
    const results = await batch(
      [
        { idempotencyKey: randomUUID(), order: own },
        newItem(),
        { idempotencyKey: randomUUID(), order: { ...own, currency: 'eur' } },
      ],
      { mode: 'atomic', token: customer.accessToken },
    );
    expect(statuses(results)).toEqual([424, 403, 422]);
    expect(await counts()).toEqual(before);
  });
});

describe('batches at the same time', () => {
  it.each([
    ['independent', 'independent'],
    ['atomic', 'atomic'],
    ['atomic', 'independent'],
  ])('%s and %s, with the same keys in opposite order: each is placed once', async (one, two) => {
    for (let round = 0; round < 3; round++) {
      const note = randomUUID();
      const items = Array.from({ length: 20 }, () => newItem({ note, reference: randomUUID() }));
      const reversed = items.toReversed();
      const senders = [service, replica, service, replica];
      const started = performance.now();
      const answers = await Promise.all(
        senders.map((on, index) =>
          batch(index % 2 === 0 ? items : reversed, { on, mode: index < 2 ? one : two }),
        ),
      );
      expect(performance.now() - started).toBeLessThan(4_000);
      expect(answers.flatMap(statuses).filter((status) => status !== 201)).toEqual([]);
      const fresh = answers.flat().filter(({ replayed }) => replayed === undefined);
      expect(fresh).toHaveLength(20);
      const ids = answers.map((answer) => answer.map(({ body }) => body.id).sort());
      for (const each of ids) expect(each).toEqual(ids[0]);
      expect(await ordersWith(note)).toBe(20);
    }
  });

  it('and single placements with their keys: each is placed once', async () => {
    const note = randomUUID();
    const items = Array.from({ length: 10 }, () => newItem({ note }));
    const [answer, again, ...singles] = await Promise.all([
      batch(items),
      batch(items, { on: replica, mode: 'atomic' }),
      ...items.map(({ idempotencyKey, order }) => place(idempotencyKey, order)),
    ]);
    expect(singles.map((response) => response.status)).toEqual(items.map(() => 201));
    expect(answer.map(({ body }) => body.id)).toEqual(again.map(({ body }) => body.id));
    expect(await ordersWith(note)).toBe(10);
  });

  it('a key that another transaction keeps concerns its own item alone, or all that are atomic', async () => {
    const [stuck, note] = [newItem(), randomUUID()];
    const holder = await database.connect();
    await holder.query('BEGIN');
    await holder.query(
      `INSERT INTO idempotency_keys (scope, key, fingerprint, event_id)
         VALUES ($1, $2, sha256(''), gen_random_uuid())`,
      [admin.id, stuck.idempotencyKey],
    );
    const results = await batch([newItem({ note }), stuck, newItem({ note })]);
    expect(codes(results)).toEqual([undefined, 'idempotency-in-progress', undefined]);
    expect(await ordersWith(note)).toBe(2);

    const refused = await sendBatch([newItem({ note }), stuck], { mode: 'atomic' });
    expect(refused.body).toMatchObject({ status: 409, code: 'idempotency-in-progress' });
    expect(refused.get('Retry-After')).toBe('1');
    expect(await ordersWith(note)).toBe(2);
    await holder.query('ROLLBACK');
    expect(statuses(await batch([stuck], { mode: 'atomic' }))).toEqual([201]);
  });
});

describe.each([
  ['independent', 'answered', 'place orders directly'],
  ['atomic', 'answer', 'COMMIT\0'],
] as const)('a batch (%s) whose end is not acknowledged', (mode, moment, bytes) => {
  it('is 503 as a whole, and the retry settles it', async () => {
    const proxy = await startProxy(database.serviceUrl);
    const behindProxy = await startService({ DATABASE_URL: proxy.url }, database);
    try {
      const note = randomUUID();
      const items = [newItem({ note }), newItem({ currency: 'XXY' }), newItem({ note })];
      const sound = mode === 'atomic' ? [items[0], items[2]] : items;
      const cut = proxy.cutAt(moment, bytes);
      const lost = await sendBatch(sound, { mode, on: behindProxy });
      await cut;
      expect(lost.body).toMatchObject({ status: 503, code: 'unavailable' });
      const retried = await batch(sound, { mode });
      expect(statuses(retried)).toEqual(mode === 'atomic' ? [201, 201] : [201, 422, 201]);
      expect(retried[0]?.replayed).toBe(true);
      expect(await ordersWith(note)).toBe(2);
    } finally {
      await behindProxy.stop();
      await proxy.stop();
    }
  });
});

function withoutInstance({ body }: Response): object {
  const { instance: _instance, ...rest } = body as Record<string, unknown>;
  return rest;
}
