import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createKey, createPerson } from './support/people.js';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

let service: TestService;
let admin: UserBody;
let user: UserBody;
beforeAll(async () => {
  service = await startService();
  admin = (await service.send('get', '/v1/users/me').expect(200)).body as UserBody;
  user = await createUser(service);
});
afterAll(() => service.stop());

function place(body: object, caller: Pick<TestService, 'send'> = service) {
  return caller.send('post', '/v1/orders').set('Idempotency-Key', randomUUID()).send(body);
}

describe('placing an order', () => {
  it('stores every text as it was sent', async () => {
    const texts = [
      'NULL',
      'null',
      '{}',
      '"',
      '\\',
      'a,b',
      ' spaces ',
      "'",
      '1.5',
      '\\x00',
      '{"a":"\\n"}',
      'ä\n\u{1f600}',
    ];
    const order = await placeOrder(service, user.id, {
      reference: '{NULL,"}',
      lines: texts.map((text) => ({ sku: text, name: text, quantity: 1, unitPrice: 1 })),
      note: '\\',
      metadata: { '"': '\\"', NULL: 'NULL' },
    });
    const database = await service.database.connect();
    const { rows } = await database.query<Record<string, unknown>>(
      `SELECT reference, note, metadata, array_agg(sku ORDER BY position) AS skus, array_agg(name ORDER BY position) AS names
         FROM orders JOIN order_lines ON order_id = id WHERE id = $1 GROUP BY id`,
      [order.id],
    );
    expect(rows).toEqual([
      {
        reference: '{NULL,"}',
        note: '\\',
        metadata: { '"': '\\"', NULL: 'NULL' },
        skus: texts,
        names: texts,
      },
    ]);
  });

  it('answers the whole order with exact amounts', async () => {
    const response = await place({
      userId: user.id,
      reference: 'SHOP-1',
      currency: 'EUR',
      lines,
      shipping: 490,
      placedAt: '2026-01-31T12:00:00+01:00',
      note: 'Ring twice',
      metadata: { channel: 'web', 10: 'ten' },
    }).expect(201);
    const order = response.body as OrderBody;
    expect(order).toEqual({
      id: expect.any(String),
      userId: user.id,
      reference: 'SHOP-1',
      currency: 'EUR',
      status: 'placed',
      hold: null,
      payments: [],
      refunds: [],
      fulfillments: [],
      paymentStatus: 'unpaid',
      fulfillmentStatus: 'unfulfilled',
      lines: [
        {
          ...lines[0],
          position: 1,
          subtotal: 3_897,
          discount: 195,
          tax: 703,
          total: 4_405,
          fulfilled: 0,
          refunded: 0,
        },
        {
          ...lines[1],
          position: 2,
          discountPpm: 0,
          subtotal: 799,
          discount: 0,
          tax: 56,
          total: 855,
          fulfilled: 0,
          refunded: 0,
        },
      ],
      subtotal: 4_696,
      discount: 195,
      tax: 759,
      shipping: 490,
      total: 5_750,
      paid: 0,
      refunded: 0,
      balance: 5_750,
      note: 'Ring twice',
      metadata: { channel: 'web', 10: 'ten' },
      availableActions: ['confirm', 'hold', 'cancel'],
      version: 1,
      placedAt: '2026-01-31T11:00:00.000Z',
      createdAt: order.createdAt,
      updatedAt: order.createdAt,
    });
    expect(response.get('Location')).toBe(`/v1/orders/${order.id}`);
    expect(response.get('ETag')).toBe('"1"');
    const read = await service.send('get', `/v1/orders/${order.id}`).expect(200);
    expect(read.text).toBe(response.text);
  });

  it('of nothing to pay requires no payment', async () => {
    const order = await placeOrder(service, user.id, {
      lines: [{ sku: 'GIFT', name: 'Gift', quantity: 1, unitPrice: 0 }],
    });
    expect(order).toMatchObject({ total: 0, paymentStatus: 'not_required' });
  });

  it('keeps the lines in the order in which they came, 200 of them', async () => {
    const many = Array.from({ length: 200 }, (_, index) => ({
      sku: `S-${200 - index}`,
      name: 'Thing',
      quantity: 1,
      unitPrice: index,
    }));
    const order = await placeOrder(service, user.id, { lines: many });
    const read = await service.send('get', `/v1/orders/${order.id}`).expect(200);
    const skus = (read.body as { lines: { sku: string }[] }).lines.map((line) => line.sku);
    expect(skus).toEqual(many.map((line) => line.sku));
  });

  it('refuses an unknown user at its place in the body', async () => {
    const response = await place({ userId: randomUUID(), currency: 'EUR', lines }).expect(422);
    expect(response.body).toMatchObject({ code: 'validation-failed', errors: [{ pointer: '/userId' }] });
  });

  it("is the caller's own order unless told otherwise", async () => {
    const mine = await place({ currency: 'EUR', lines }).expect(201);
    expect(mine.body).toMatchObject({ userId: admin.id });
    const customer = await createPerson(service);
    const own = await place({ currency: 'EUR', lines }, service.as(customer.accessToken)).expect(201);
    expect(own.body).toMatchObject({ userId: customer.user.id });
  });

  it('requires an API key to say whose order it is', async () => {
    const shop = service.as(await createKey(service, ['orders:write']));
    const response = await place({ currency: 'EUR', lines }, shop).expect(422);
    expect(response.body).toMatchObject({ errors: [{ pointer: '/userId', code: 'required' }] });
    const placed = await place({ userId: user.id, currency: 'EUR', lines }, shop).expect(201);
    expect(placed.body).toMatchObject({ userId: user.id });
  });

  it('refuses a time to come', async () => {
    const placedAt = new Date(Date.now() + 60_000).toISOString();
    const response = await place({ userId: user.id, currency: 'EUR', lines, placedAt }).expect(422);
    expect(response.body).toMatchObject({ errors: [{ pointer: '/placedAt' }] });
  });

  it('takes a reference once per user', async () => {
    const other = await createUser(service);
    const reference = randomUUID();
    await placeOrder(service, user.id, { reference });
    const response = await place({ userId: user.id, currency: 'EUR', lines, reference }).expect(409);
    expect(response.body).toMatchObject({ code: 'already-exists', field: 'reference' });
    await placeOrder(service, other.id, { reference });
  });
});

describe('changing an order', () => {
  it('sets, merges and removes note and metadata as RFC 7396 says', async () => {
    const { id } = await placeOrder(service, user.id, { note: 'old', metadata: { a: '1', b: '2' } });
    const changed = await service
      .send('patch', `/v1/orders/${id}`)
      .set('If-Match', '"1"')
      .set('Content-Type', 'application/merge-patch+json')
      .send(JSON.stringify({ note: null, metadata: { a: null, c: '3' } }))
      .expect(200);
    expect(changed.body).toMatchObject({ note: null, version: 2 });
    expect((changed.body as OrderBody).metadata).toEqual({ b: '2', c: '3' });
    expect(changed.get('ETag')).toBe('"2"');
    const cleared = await service
      .send('patch', `/v1/orders/${id}`)
      .set('If-Match', '*')
      .send({ metadata: null })
      .expect(200);
    expect((cleared.body as OrderBody).metadata).toEqual({});
  });

  it('makes no version and no event of a patch that changes nothing', async () => {
    const { id } = await placeOrder(service, user.id, { note: 'same', metadata: { a: '1' } });
    const response = await service
      .send('patch', `/v1/orders/${id}`)
      .set('If-Match', '"1"')
      .send({ note: 'same', metadata: { a: '1', absent: null } })
      .expect(200);
    expect(response.body).toMatchObject({ version: 1 });
    const events = await service.send('get', `/v1/orders/${id}/events`).expect(200);
    expect((events.body as { data: unknown[] }).data).toHaveLength(1);
  });

  it('keeps metadata to 50 members over several patches', async () => {
    const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`m${index}`, 'x']));
    const { id } = await placeOrder(service, user.id, { metadata });
    const response = await service
      .send('patch', `/v1/orders/${id}`)
      .set('If-Match', '"1"')
      .send({ metadata: { onemore: 'x' } })
      .expect(422);
    expect(response.body).toMatchObject({ errors: [{ pointer: '/metadata' }] });
    await service
      .send('patch', `/v1/orders/${id}`)
      .set('If-Match', '"1"')
      .send({ metadata: { m0: null, onemore: 'x' } })
      .expect(200);
  });
});

describe('cancelling an order', () => {
  it('takes no body or an empty object, and leaves nothing to do', async () => {
    const order = await placeOrder(service, user.id);
    const response = await service.send('post', `/v1/orders/${order.id}/cancel`).expect(200);
    expect(response.body).toMatchObject({
      status: 'cancelled',
      availableActions: [],
      version: 2,
      total: order.total,
    });
    const other = await placeOrder(service, user.id);
    await service.send('post', `/v1/orders/${other.id}/cancel`).send({}).expect(200);
  });

  it('is possible once', async () => {
    const { id } = await placeOrder(service, user.id);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => service.send('post', `/v1/orders/${id}/cancel`)),
    );
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, ...Array<number>(9).fill(409)]);
    const refused = answers.find((answer) => answer.status === 409);
    expect(refused?.body).toMatchObject({ code: 'illegal-transition', from: 'cancelled', allowed: [] });
  });
});

describe('the past of an order', () => {
  let id: string;
  let versions: OrderBody[];
  beforeAll(async () => {
    const placed = await placeOrder(service, user.id, { metadata: { 'a/b': '1' } });
    id = placed.id;
    const patch = { note: 'Fragile', metadata: { 'a/b': '2', c: '3' } };
    const updated = await service
      .send('patch', `/v1/orders/${id}`)
      .set('If-Match', '"1"')
      .send(patch)
      .expect(200);
    const cancelled = await service.send('post', `/v1/orders/${id}/cancel`).expect(200);
    versions = [placed, updated.body as OrderBody, cancelled.body as OrderBody];
  });

  it('is told by its events, with what each changed', async () => {
    const response = await service.send('get', `/v1/orders/${id}/events`).expect(200);
    expect((response.body as { data: object[] }).data).toEqual([
      expect.objectContaining({
        version: 1,
        action: 'order.placed',
        actor: { type: 'user', id: admin.id },
        summary: 'Order placed: 2 lines, EUR 52.60 in total',
        changes: [],
      }),
      expect.objectContaining({
        version: 2,
        action: 'order.updated',
        summary: 'Note changed. Metadata changed (a/b, c)',
        changes: expect.arrayContaining([
          { pointer: '/note', from: null, to: 'Fragile' },
          { pointer: '/metadata/a~1b', from: '1', to: '2' },
          { pointer: '/metadata/c', from: null, to: '3' },
        ]),
      }),
      expect.objectContaining({
        version: 3,
        action: 'order.cancelled',
        changes: [{ pointer: '/status', from: 'placed', to: 'cancelled' }],
      }),
    ]);
  });

  it('tells in words when it began, and what of note and metadata was changed', async () => {
    const placed = await placeOrder(service, user.id, {
      placedAt: '2026-01-31T12:00:00Z',
      lines: lines.slice(0, 1),
      note: 'Fragile',
      metadata: { old: '1' },
    });
    const names = ['g', 'f', 'e', 'd', 'c', 'b'];
    for (const patch of [
      { note: null },
      { metadata: { old: null, new: '1' } },
      { note: 'Heavy', metadata: Object.fromEntries(names.map((name) => [name, ''])) },
    ]) {
      await service.send('patch', `/v1/orders/${placed.id}`).set('If-Match', '*').send(patch).expect(200);
    }
    const response = await service.send('get', `/v1/orders/${placed.id}/events`).expect(200);
    expect((response.body as { data: { summary: string }[] }).data.map(({ summary }) => summary)).toEqual([
      'Order placed: 1 line, EUR 44.05 in total, dated 2026-01-31',
      'Note removed',
      'Metadata changed (new, old)',
      'Note changed. Metadata changed (b, c, d, e, f, 1 more)',
    ]);
  });

  it('is there by version, byte for byte', async () => {
    for (const version of versions) {
      const response = await service.send('get', `/v1/orders/${id}?version=${version.version}`).expect(200);
      expect(response.text).toBe(JSON.stringify(version));
      expect(response.get('ETag')).toBe(`"${version.version}"`);
    }
    await service.send('get', `/v1/orders/${id}?version=4`).expect(404);
  });

  it('is there by instant: the last version at or before it', async () => {
    const first = versions[0] as OrderBody;
    const last = versions[2] as OrderBody;
    const at = (instant: string) =>
      service.send('get', `/v1/orders/${id}?asOf=${encodeURIComponent(instant)}`);
    expect((await at(last.updatedAt).expect(200)).text).toBe(JSON.stringify(last));
    const before = new Date(Date.parse(first.createdAt) - 1).toISOString();
    await at(before).expect(404);
    const future = await at(new Date(Date.now() + 60_000).toISOString()).expect(400);
    expect(future.body).toMatchObject({ code: 'invalid-parameter', errors: [{ parameter: 'asOf' }] });
    await service.send('get', `/v1/orders/${id}?version=1&asOf=${last.updatedAt}`).expect(400);
  });
});
