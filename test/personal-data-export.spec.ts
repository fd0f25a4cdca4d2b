import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPerson, PASSWORD, type Person } from './support/people.js';
import { createUser, lines, orderThatTakes, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

interface Event {
  id: string;
  action: string;
}
interface ExportBody {
  exportedAt: string;
  user: UserBody;
  signIn: { passwordChangedAt: string | null; resetTokenExpiresAt: string | null };
  history: (Event & { version: number; changes: unknown[]; state: UserBody | null })[];
  sessions: { id: string; endedAt: string | null }[];
  idempotencyKeys: { key: string; eventId: string }[];
  occurrences: (Event & { actor: { id: string | null } })[];
  actions: Event[];
  orders: { id: string }[];
  orderEvents: (Event & { orderId: string; changes: unknown[] })[];
}

async function exportOf(id: string, token = service.adminToken): Promise<ExportBody> {
  return (await service.as(token).send('get', `/v1/users/${id}/export`).expect(200)).body as ExportBody;
}

/** Somebody about whom there is something in every table that can hold something about a person. */
async function somebodyBusy(): Promise<Person> {
  const person = await createPerson(service, 'staff');
  const { id, email } = person.user;
  const as = service.as(person.accessToken);
  const anonymous = service.as(undefined);
  await anonymous.send('post', '/v1/auth/login').send({ email, password: 'a wrong one' }).expect(401);
  const second = await anonymous.send('post', '/v1/auth/login').send({ email, password: PASSWORD });
  const { accessToken } = second.body as { accessToken: string };
  await service.as(accessToken).send('post', '/v1/auth/logout').expect(204);
  const { refreshToken } = person;
  await anonymous.send('post', '/v1/auth/refresh').send({ refreshToken }).expect(200);
  await as.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({ name: 'Busy Name' }).expect(200);
  await service.send('post', '/v1/auth/reset-tokens').send({ userId: id }).expect(201);
  await service.send('post', '/v1/users').send({ name: 'Denied' }).expect(422);
  await as.send('post', '/v1/users').send({ name: 'Denied', email: 'denied@example.com' }).expect(403);
  const held = await orderThatTakes(service, 'confirm', id);
  await as.send('post', `/v1/orders/${held.id}/hold`).send({ reason: 'held for a reason' }).expect(200);
  const sent = await orderThatTakes(service, 'fulfill', id);
  const units = { lines: [{ position: 1, quantity: 2 }], carrier: 'DHL', trackingNumber: 'track-1' };
  await as
    .send('post', `/v1/orders/${sent.id}/fulfillments`)
    .set('Idempotency-Key', 'key of the busy one')
    .send(units)
    .expect(200);
  const refunded = await orderThatTakes(service, 'refund', id);
  await as
    .send('post', `/v1/orders/${refunded.id}/refunds`)
    .set('Idempotency-Key', randomUUID())
    .send({ lines: [{ position: 1, quantity: 1 }], reason: 'broken' })
    .expect(200);
  await placeOrder(service, id, { reference: 'busy-1', note: 'a busy note', metadata: { busy: 'value' } });
  return person;
}

/**
 * Where in the export each column stands that is about a person, or why it stands nowhere; and of all other tables why
 * they are about nobody. Written down by hand: a new column or table is found missing here.
 */
const places: Record<string, string | Record<string, string>> = {
  users: {
    id: 'user',
    version: 'user',
    name: 'user',
    email: 'user',
    role: 'user',
    status: 'user',
    created_at: 'user',
    updated_at: 'user',
  },
  passwords: {
    user_id: 'user',
    changed_at: 'signIn',
    hash: '- a secret: shown to nobody',
  },
  reset_tokens: {
    user_id: 'user',
    expires_at: 'signIn',
    token_hash: '- a secret: shown to nobody',
  },
  sessions: {
    id: 'sessions',
    user_id: 'user',
    created_at: 'sessions',
    refreshed_at: 'sessions',
    expires_at: 'sessions',
    ended_at: 'sessions',
    refresh_hash: '- a secret: shown to nobody',
    previous_hash: '- a secret: shown to nobody',
  },
  idempotency_keys: {
    scope: 'user',
    key: 'idempotencyKeys',
    event_id: 'idempotencyKeys',
    created_at: 'idempotencyKeys',
    fingerprint: '- an HMAC of the request, which tells nobody anything',
  },
  audit_events: {
    id: 'events',
    at: 'events',
    actor_type: 'events',
    actor_id: 'events',
    action: 'events',
    subject_type: 'events',
    subject_id: 'events',
    subject_version: 'events',
    request_id: 'events',
    seq: '- the place in the log, which tells nothing of the person',
    xid: '- a number of the database',
    recorded_at: '- the clock of the database, beside `at`',
    entry: '- the event in other words',
    leaf_hash: '- the hash of the entry',
    salt: '- a random number',
    state: '- member by member in user, history, orders and orderEvents',
  },
  orders: {
    id: 'orders',
    version: 'orders',
    user_id: 'user',
    reference: 'orders',
    currency: 'orders',
    status: 'orders',
    payment_status: 'orders',
    fulfillment_status: 'orders',
    subtotal: 'orders',
    discount: 'orders',
    tax: 'orders',
    shipping: 'orders',
    total: 'orders',
    paid: 'orders',
    refunded: 'orders',
    note: 'orders',
    metadata: 'orders',
    placed_at: 'orders',
    created_at: 'orders',
    updated_at: 'orders',
    held_from: 'orders',
    hold_reason: 'orders',
  },
  order_lines: {
    order_id: 'orders',
    order_version: '- always 1',
    position: 'orders',
    sku: 'orders',
    name: 'orders',
    quantity: 'orders',
    unit_price: 'orders',
    discount_ppm: 'orders',
    tax_ppm: 'orders',
    subtotal: 'orders',
    discount: 'orders',
    tax: 'orders',
    total: 'orders',
  },
  order_ledger: {
    order_id: 'orders',
    order_version: 'orders',
    kind: '- told by the list: payments, refunds',
    amount: 'orders',
    provider: 'orders',
    provider_reference: 'orders',
    method: 'orders',
    reason: 'orders',
    at: 'orders',
  },
  order_refund_lines: {
    order_id: 'orders',
    order_version: 'orders',
    position: 'orders',
    quantity: 'orders',
    amount: 'orders',
  },
  order_fulfillments: {
    order_id: 'orders',
    order_version: 'orders',
    carrier: 'orders',
    tracking_number: 'orders',
    at: 'orders',
  },
  order_fulfillment_lines: {
    order_id: 'orders',
    order_version: 'orders',
    position: 'orders',
    quantity: 'orders',
  },
  api_keys: 'keys belong to nobody; who made or revoked one is in the events',
  api_key_uses: 'keys belong to nobody',
  migrations: 'the schema',
  audit_checkpoints: 'hashes and numbers of entries, which hold nothing of a person',
  audit_gaps: 'hashes and numbers of entries, which hold nothing of a person',
  audit_leaves: 'hashes and numbers of entries, which hold nothing of a person',
  audit_sealing: 'hashes and numbers of entries, which hold nothing of a person',
  audit_subtrees: 'hashes and numbers of entries, which hold nothing of a person',
};

/** The rows of a table that are about the user $1. */
const RELATED: Record<string, string> = {
  users: 'id = $1',
  idempotency_keys: 'scope = $1::text',
  audit_events: `subject_id = $1 OR actor_id = $1 OR subject_id IN (SELECT id FROM orders WHERE user_id = $1)`,
  passwords: 'user_id = $1',
  reset_tokens: 'user_id = $1',
  sessions: 'user_id = $1',
  orders: 'user_id = $1',
};
const OF_ORDERS = 'order_id IN (SELECT id FROM orders WHERE user_id = $1)';

describe('an export', () => {
  it('holds every value that the database holds about the person', async () => {
    const { user } = await somebodyBusy();
    const body = await exportOf(user.id);
    const columns = await service.database.query<{ table: string; column: string }>(
      `SELECT table_name AS table, column_name AS column FROM information_schema.columns
        WHERE table_schema = 'public'`,
    );
    const known = Object.entries(places).flatMap(([table, place]) =>
      typeof place === 'string' ? [] : Object.keys(place).map((column) => `${table}.${column}`),
    );
    const stored = columns.filter(({ table }) => typeof places[table] !== 'string');
    expect(stored.map(({ table, column }) => `${table}.${column}`).sort()).toEqual(known.sort());

    const texts = {
      ...Object.fromEntries(Object.entries(body).map(([name, part]) => [name, JSON.stringify(part)])),
      events: JSON.stringify([body.history, body.occurrences, body.actions, body.orderEvents]),
    } as Record<string, string>;
    const missing: string[] = [];
    const empty: string[] = [];
    for (const { table, column } of stored) {
      const place = (places[table] as Record<string, string>)[column] ?? '';
      if (place.startsWith('- ')) continue;
      const rows = await service.database.query<{ value: unknown }>(
        `SELECT DISTINCT to_jsonb(${column}) AS value FROM ${table}
          WHERE ${column} IS NOT NULL AND (${RELATED[table] ?? OF_ORDERS})`,
        [user.id],
      );
      if (rows.length === 0) empty.push(`${table}.${column}`);
      const absent = rows.filter(({ value }) => !texts[place]?.includes(asExported(value)));
      missing.push(
        ...absent.map(({ value }) => `${table}.${column}: ${JSON.stringify(value)} not in ${place}`),
      );
    }
    expect(missing).toEqual([]);
    // Nothing was left out by looking at nothing.
    expect(empty).toEqual(['order_ledger.method']);
  });

  it('holds no secret and no hash of one', async () => {
    const { user } = await somebodyBusy();
    const { text } = await service.send('get', `/v1/users/${user.id}/export`).expect(200);
    expect(text).not.toMatch(/argon2|salt|[a-f0-9]{65}/i);
    for (const [table, column] of [
      ['passwords', 'hash'],
      ['reset_tokens', 'token_hash'],
      ['sessions', 'refresh_hash'],
      ['sessions', 'previous_hash'],
      ['idempotency_keys', 'fingerprint'],
      ['audit_events', 'salt'],
    ] as const) {
      const rows = await service.database.query<{ value: Buffer | string }>(
        `SELECT ${column} AS value FROM ${table} WHERE ${column} IS NOT NULL AND (${RELATED[table] ?? ''})`,
        [user.id],
      );
      expect(rows.length).toBeGreaterThan(0);
      const found = rows.flatMap(({ value }) =>
        (['hex', 'base64', 'base64url', 'utf8'] as const).filter((form) =>
          text.includes(Buffer.from(value as Buffer).toString(form)),
        ),
      );
      expect([column, found]).toEqual([column, []]);
    }
  });

  it('is a file of their own, for nobody to keep in between, and on the record', async () => {
    const { user, accessToken } = await createPerson(service);
    const response = await service.as(accessToken).send('get', `/v1/users/${user.id}/export`).expect(200);
    expect(response.get('Content-Type')).toBe('application/json; charset=utf-8');
    expect(response.get('Content-Disposition')).toBe(`attachment; filename="user-${user.id}.json"`);
    expect(response.get('Cache-Control')).toBe('no-store');
    expect(response.get('ETag')).toBeUndefined();
    const body = response.body as ExportBody;
    expect(body.user).toEqual(user);
    expect(body.history).toMatchObject([{ version: 1, action: 'user.created', state: user }]);
    expect(body.orders).toEqual([]);
    await exportOf(user.id);
    const [byAdmin, byThem] = (await exportOf(user.id)).occurrences
      .filter(({ action }) => action === 'user.exported')
      .slice(1);
    expect([byThem?.actor.id, byAdmin?.actor.id]).toEqual([user.id, expect.not.stringMatching(user.id)]);
  });

  it('holds what remains of somebody who is erased', async () => {
    const { user } = await createPerson(service);
    const order = await placeOrder(service, user.id);
    await service.send('post', `/v1/users/${user.id}/erase`).expect(200);
    const body = await exportOf(user.id);
    expect(body).toMatchObject({
      user: { id: user.id, name: 'Erased user', status: 'erased' },
      signIn: { passwordChangedAt: null, resetTokenExpiresAt: null },
      history: [
        { version: 1, state: null },
        { version: 2, state: { name: 'Erased user' } },
      ],
      sessions: [],
      idempotencyKeys: [],
      orders: [{ id: order.id }],
    });
  });

  it('has more parts than are read at once: each item once, in order', async () => {
    const { user, accessToken } = await createPerson(service);
    const as = service.as(accessToken);
    for (let version = 1; version <= 105; version++) {
      await as
        .send('patch', `/v1/users/${user.id}`)
        .set('If-Match', `"${version}"`)
        .send({ name: `Name ${version}` })
        .expect(200);
    }
    const items = Array.from({ length: 55 }, (_, index) => ({
      idempotencyKey: `part-${index}`,
      order: { currency: 'EUR', lines: lines.slice(0, 1) },
    }));
    await as.send('post', '/v1/orders/batch').send({ items }).expect(207);
    await service.database.query(
      `INSERT INTO sessions (id, user_id, refresh_hash, expires_at)
       SELECT uuidv7(), $1, sha256('x'), now() + interval '1 day' FROM generate_series(1, 505)`,
      [user.id],
    );
    const body = await exportOf(user.id);
    const versions = body.history.map(({ version }) => version);
    expect(versions).toEqual(Array.from({ length: 106 }, (_, index) => index + 1));
    expect(body.history.slice(2).map(({ changes }) => changes)).toEqual(
      versions
        .slice(2)
        .map((version) => [{ pointer: '/name', from: `Name ${version - 2}`, to: `Name ${version - 1}` }]),
    );
    expect(new Set(body.sessions.map(({ id }) => id)).size).toBe(506);
    expect(body.sessions).toHaveLength(506);
    const orderIds = body.orders.map(({ id }) => id);
    expect([orderIds.length, new Set(orderIds).size]).toEqual([55, 55]);
    expect(orderIds).toEqual([...orderIds].sort().reverse());
    expect(body.orderEvents.map(({ orderId }) => orderId).sort()).toEqual([...orderIds].sort());
    expect(body.idempotencyKeys).toHaveLength(55);
    expect(body.actions.filter(({ action }) => action === 'order.placed')).toHaveLength(55);
  });

  it('that fails in the middle is cut off, so that nobody takes it for the whole', async () => {
    const { id } = await createUser(service);
    await placeOrder(service, id);
    await service.database.query('REVOKE SELECT ON orders FROM ordo_service');
    try {
      const answer = fetch(`${service.url}/v1/users/${id}/export`, {
        headers: { Authorization: `Bearer ${service.adminToken}` },
      });
      await expect(answer.then((response) => response.text())).rejects.toThrow();
    } finally {
      await service.database.query('GRANT SELECT ON orders TO ordo_service');
    }
    await exportOf(id);
  });
});

/** How a value of the database reads in JSON: times with milliseconds in UTC, the log's hashes in hex. */
function asExported(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  if (/^\d{4}-\d\d-\d\dT/.test(value)) return new Date(value).toISOString();
  return value.startsWith('\\x') ? value.slice(2) : JSON.stringify(value).slice(1, -1);
}
