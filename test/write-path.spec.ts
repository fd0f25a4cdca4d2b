import { createHash, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';
import pLimit from 'p-limit';
import type { Response } from 'supertest';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../src/config/config.js';
import { dataSourceOptions } from '../src/database/data-source.js';
import { canonicalBytes } from '../src/database/canonical.js';
import type { Write } from '../src/database/attempt.js';
import type { Occurrence, Origin } from '../src/database/event.js';
import type { IdempotentRequest } from '../src/database/idempotency.js';
import { KeyPurge } from '../src/database/key-purge.js';
import { isDatabaseUnavailable, SqlState, sqlState } from '../src/database/sqlstate.js';
import { inTransaction, type Transaction } from '../src/database/transaction.js';
import type { Written } from '../src/database/outcomes.js';
import { WritePath } from '../src/database/write-path.js';
import type { Access } from '../src/http/access.js';
import { Metrics } from '../src/metrics/metrics.js';
import { PlaceOrder, PlaceOrderLine } from '../src/orders/orders.dto.js';
import { type Placement, placeOrders, preparePlacement } from '../src/orders/place-orders.js';
import { Placing } from '../src/orders/placing.js';
import { Problem } from '../src/problems/problem.js';
import { expectConsistent } from './support/consistency.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { createKey, createPerson } from './support/people.js';
import { createFolder, eventually, type ServiceProcess, startProcess } from './support/process.js';
import { type CuttingProxy, startProxy } from './support/proxy.js';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

// Two replicas of the service on one database.
let database: TestDatabase;
let service: TestService;
let replica: TestService;
/** Who sends all requests. */
let admin: UserBody;
let user: UserBody;

beforeAll(async () => {
  database = await createDatabase();
  // A deadlock shall fail by the lock timeout of 5 s, for a retry would hide it.
  await database.query(`DO $$ BEGIN
    EXECUTE format('ALTER ROLE ordo_app IN DATABASE %I SET deadlock_timeout = ''1min''', current_database());
  END $$`);
  [service, replica] = await Promise.all([startService({}, database), startService({}, database)]);
  admin = (await service.send('get', '/v1/users/me').expect(200)).body as UserBody;
  user = await createUser(service);
});
afterAll(async () => {
  await replica.stop();
  await service.stop();
  await expectConsistent(database);
  await database.drop();
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanups.splice(0).reverse()) await cleanUp();
});

/** One more replica, until the test is over. */
async function startReplica(settings: Partial<ServiceConfig>): Promise<TestService> {
  const started = await startService(settings, database);
  cleanups.push(() => started.stop());
  return started;
}

/** Sends a placement; `body` is all of it but user, currency and lines. */
async function place(
  on: TestService,
  key: string,
  body: object = {},
  token = on.adminToken,
): Promise<Response> {
  return on
    .as(token)
    .send('post', '/v1/orders')
    .set('Idempotency-Key', key)
    .send({ userId: user.id, currency: 'EUR', lines, ...body });
}

/** How many orders carry the note, how many events these have, and how many keys lead to one of them. */
async function countPlaced(note: string): Promise<{ orders: number; events: number; keys: number }> {
  const [counts] = await database.query<{ orders: number; events: number; keys: number }>(
    `WITH placed AS (SELECT id FROM orders WHERE note = $1)
     SELECT (SELECT count(*)::int FROM placed) AS orders,
            (SELECT count(*)::int FROM audit_events WHERE subject_id IN (SELECT id FROM placed)) AS events,
            (SELECT count(*)::int FROM idempotency_keys JOIN audit_events ON audit_events.id = event_id
               WHERE subject_id IN (SELECT id FROM placed)) AS keys`,
    [note],
  );
  return counts!;
}

const one = { orders: 1, events: 1, keys: 1 };
const none = { orders: 0, events: 0, keys: 0 };

async function versionsOf(id: string): Promise<number[]> {
  const rows = await database.query<{ version: number }>(
    'SELECT subject_version AS version FROM audit_events WHERE subject_id = $1 ORDER BY seq',
    [id],
  );
  return rows.map(({ version }) => version);
}

/** Makes everybody wait who places an order for the user, until the returned function is called. */
async function holdUser(id: string): Promise<() => Promise<void>> {
  const client = await database.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [id]);
  const release = () => client.end();
  cleanups.push(release);
  return release;
}

/** Waits until so many backends of the database wait for a lock. */
async function untilWaiting(backends: number): Promise<void> {
  await eventually(async () => {
    const [row] = await database.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    expect(row?.waiting).toBe(backends);
  });
}

async function untilInFlight(on: TestService, requests: number): Promise<void> {
  await eventually(async () => {
    const { values } = await on.app.get(Metrics).requestsInFlight.get();
    expect(values[0]?.value).toBe(requests);
  });
}

const statuses = (responses: readonly Response[]) => responses.map(({ status }) => status).sort();
const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, i) => make(i));

describe('one key', () => {
  it.each([
    ['one process', () => [service]],
    ['two replicas', () => [service, replica]],
  ])('places one order, however often it is sent at once to %s', async (_, replicas) => {
    const [key, note] = [randomUUID(), randomUUID()];
    const targets = replicas();
    const metadata = { zebra: '1', '10': 'ten', apple: '2', '9': 'nine' };
    const responses = await Promise.all(
      times(50, (index) => place(targets[index % targets.length]!, key, { note, metadata })),
    );
    expect(new Set(responses.map((response) => response.status))).toEqual(new Set([201]));
    expect(new Set(responses.map((response) => response.text)).size).toBe(1);
    expect(new Set(responses.map((response) => response.get('ETag')))).toEqual(new Set(['"1"']));
    expect(new Set(responses.map((response) => response.get('Location'))).size).toBe(1);
    expect(responses.filter((response) => response.get('Idempotency-Replayed') === 'true')).toHaveLength(49);
    expect(await countPlaced(note)).toEqual(one);
  });

  it('keeps a duplicate waiting, without a connection, for the answer to the first', async () => {
    const small = await startReplica({ DATABASE_POOL_SIZE: 2 });
    const [key, note] = [randomUUID(), randomUUID()];
    const release = await holdUser(user.id);
    const first = place(small, key, { note });
    await untilWaiting(1);
    const duplicates = times(5, () => place(small, key, { note }));
    await untilInFlight(small, 6);
    // The second and last connection is free, time and again, whatever the duplicates do meanwhile.
    for (const { id } of [user, user, user]) await small.send('get', `/v1/users/${id}`).expect(200);
    await untilWaiting(1);
    await release();
    const { status, text } = await first;
    expect(status).toBe(201);
    for (const duplicate of await Promise.all(duplicates)) {
      expect([duplicate.status, duplicate.text]).toEqual([201, text]);
      expect(duplicate.get('Idempotency-Replayed')).toBe('true');
    }
    expect(await countPlaced(note)).toEqual(one);
  });

  it('keeps a duplicate waiting for the answer that another replica gives', async () => {
    const [key, note] = [randomUUID(), randomUUID()];
    const release = await holdUser(user.id);
    const first = place(service, key, { note });
    await untilWaiting(1);
    const duplicate = place(replica, key, { note });
    await untilWaiting(2);
    await release();
    expect((await duplicate).text).toBe((await first).text);
    expect((await duplicate).get('Idempotency-Replayed')).toBe('true');
    expect(await countPlaced(note)).toEqual(one);
  });

  it.each([
    ['in the same process', () => service, 1],
    ['in another replica', () => replica, 2],
  ])('refuses another request with the key while the first is running, %s', async (_, other, waiting) => {
    const [key, note] = [randomUUID(), randomUUID()];
    const release = await holdUser(user.id);
    const first = place(service, key, { note });
    await untilWaiting(1);
    const second = place(other(), key, { note, shipping: 1 });
    await untilWaiting(waiting);
    await untilInFlight(other(), waiting === 1 ? 2 : 1);
    await release();
    expect((await first).status).toBe(201);
    expect((await second).status).toBe(422);
    expect((await second).body).toMatchObject({ code: 'idempotency-key-reused' });
    expect(await countPlaced(note)).toEqual(one);
  });

  it('answers 409 with Retry-After when the first takes too long, in both replicas', async () => {
    const [key, note] = [randomUUID(), randomUUID()];
    const request = { scope: admin.id, key, fingerprint: Buffer.from('another') };
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const first = service.app.get(WritePath).write(origin(), request, async () => {
      begin();
      await gate;
      throw new Problem('not-found', 'Never mind');
    });
    await begun;
    const responses = await Promise.all([place(service, key, { note }), place(replica, key, { note })]);
    open();
    await expect(first).rejects.toThrow('Never mind');
    for (const response of responses) {
      expect(response.status).toBe(409);
      expect(response.body).toMatchObject({ code: 'idempotency-in-progress' });
      expect(response.get('Retry-After')).toMatch(/^\d+$/);
    }
    expect((await place(replica, key, { note })).status).toBe(201);
    expect(await countPlaced(note)).toEqual(one);
  });

  it('stays free when the request was refused', async () => {
    const [key, note, reference] = [randomUUID(), randomUUID(), randomUUID()];
    await placeOrder(service, user.id, { reference });
    const unknown = await place(service, key, { note, userId: randomUUID() });
    expect(unknown.status).toBe(422);
    expect(unknown.body).toMatchObject({ code: 'validation-failed', errors: [{ pointer: '/userId' }] });
    const taken = await place(service, key, { note, reference });
    expect(taken.status).toBe(409);
    expect(taken.body).toMatchObject({ code: 'already-exists', field: 'reference' });
    expect(await countPlaced(note)).toEqual(none);
    const good = await place(service, key, { note });
    expect(good.status).toBe(201);
    expect(good.get('Idempotency-Replayed')).toBeUndefined();
    expect(await countPlaced(note)).toEqual(one);
  });

  it('goes to the duplicate that waits when the first is refused', async () => {
    const [key, note] = [randomUUID(), randomUUID()];
    const responses = await Promise.all([
      place(service, key, { note, userId: randomUUID() }),
      place(service, key, { note }),
      place(replica, key, { note }),
    ]);
    expect(responses.filter(({ status }) => status === 201).length).toBeGreaterThanOrEqual(2);
    expect(await countPlaced(note)).toEqual(one);
  });

  it('belongs to one request: another body, another order or another route is refused', async () => {
    const key = randomUUID();
    const placed = await place(service, key);
    const id = (placed.body as OrderBody).id;
    const others = [
      await place(service, key, { note: 'another' }),
      await service.send('post', `/v1/orders/${id}/cancel`).set('Idempotency-Key', key).send({}),
      await service
        .send('post', '/v1/users')
        .set('Idempotency-Key', key)
        .send({ name: 'Ada', email: `${key}@example.com` }),
    ];
    for (const other of others) {
      expect([other.status, (other.body as { code: string }).code]).toEqual([422, 'idempotency-key-reused']);
    }
    expect(await versionsOf(id)).toEqual([1]);
  });

  it('is the same key whether quoted or bare, and whatever the order of the members', async () => {
    const [key, note] = [randomUUID(), randomUUID()];
    const first = await place(service, key, { note });
    const again = await service
      .send('post', '/v1/orders')
      .set('Idempotency-Key', `"${key}"`)
      .send({ note, lines, currency: 'EUR', userId: user.id });
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(await countPlaced(note)).toEqual(one);
  });

  it('belongs to its caller: a user, or an API key', async () => {
    const [key, note] = [randomUUID(), randomUUID()];
    const customer = await createPerson(service);
    const keys = [await createKey(service, ['orders:write']), await createKey(service, ['orders:write'])];
    const callers = [service.adminToken, customer.accessToken, ...keys];
    const send = () =>
      Promise.all(callers.map((token) => place(service, key, { note, userId: customer.user.id }, token)));
    const first = await send();
    expect(statuses(first)).toEqual(callers.map(() => 201));
    expect(first.map((response) => response.get('Idempotency-Replayed'))).toEqual(
      callers.map(() => undefined),
    );
    expect(await countPlaced(note)).toEqual({ orders: 4, events: 4, keys: 4 });
    const again = await send();
    expect(again.map(({ text }) => text)).toEqual(first.map(({ text }) => text));
    expect(await countPlaced(note)).toEqual({ orders: 4, events: 4, keys: 4 });
  });

  it('belongs to its caller in a list, too', async () => {
    const key = randomUUID();
    const results = await placeAll(service, [
      write({ note: key }, { key, scope: randomUUID() }),
      write({ note: key }, { key, scope: randomUUID() }),
    ]);
    expect(results.map((result) => result instanceof Problem || result.replayed)).toEqual([false, false]);
    expect(await countPlaced(key)).toEqual({ orders: 2, events: 2, keys: 2 });
  });

  it('answers what it answered first, though the order has changed since', async () => {
    const [key, cancelKey] = [randomUUID(), randomUUID()];
    const placed = await place(service, key, { metadata: { b: '2', a: '1' }, note: 'Grüße ☕' });
    const path = `/v1/orders/${(placed.body as OrderBody).id}`;
    const cancel = () => service.send('post', `${path}/cancel`).set('Idempotency-Key', cancelKey).send({});
    const cancelled = await cancel().expect(200);
    expect(cancelled.body).toMatchObject({ status: 'cancelled', version: 2, availableActions: [] });

    const replay = await place(replica, key, { metadata: { a: '1', b: '2' }, note: 'Grüße ☕' });
    expect([replay.status, replay.text]).toEqual([201, placed.text]);
    for (const header of ['ETag', 'Location', 'Content-Type']) {
      expect([header, replay.get(header)]).toEqual([header, placed.get(header)]);
    }
    expect(replay.get('Idempotency-Replayed')).toBe('true');

    await service.send('patch', path).set('If-Match', '"2"').send({ note: null }).expect(200);
    const again = await cancel().expect(200);
    expect(again.text).toBe(cancelled.text);
    expect(again.get('Idempotency-Replayed')).toBe('true');
    expect(await versionsOf((placed.body as OrderBody).id)).toEqual([1, 2, 3]);
  });

  it('creates one user, and answers with that user again', async () => {
    const key = randomUUID();
    const send = (on: TestService) =>
      on
        .send('post', '/v1/users')
        .set('Idempotency-Key', key)
        .send({ name: 'Grace Hopper', email: `${key}@example.com` });
    const [first, second] = await Promise.all([send(service), send(replica)]);
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(first.text).toBe(second.text);
    expect(first.get('Location')).toBe(second.get('Location'));
    expect([first, second].filter((each) => each.get('Idempotency-Replayed') === 'true')).toHaveLength(1);
    expect(await versionsOf((first.body as UserBody).id)).toEqual([1]);
  });
});

describe('changes', () => {
  it.each(['users', 'orders'])(
    'lets one of 20 win that change the same version of %s',
    async (collection) => {
      const { id } = collection === 'users' ? await createUser(service) : await placeOrder(service, user.id);
      const responses = await Promise.all(
        times(20, (index) =>
          (index % 2 ? service : replica)
            .send('patch', `/v1/${collection}/${id}`)
            .set('If-Match', '"1"')
            .send(collection === 'users' ? { name: `Ada ${index}` } : { note: `Note ${index}` }),
        ),
      );
      expect(statuses(responses)).toEqual([200, ...times(19, () => 412)]);
      const refused = responses.find(({ status }) => status === 412);
      expect(refused?.body).toMatchObject({ code: 'version-mismatch', currentVersion: 2 });
      const winner = responses.find(({ status }) => status === 200);
      const read = await service.send('get', `/v1/${collection}/${id}`).expect(200);
      expect(read.body).toEqual(winner?.body);
      expect(await versionsOf(id)).toEqual([1, 2]);
    },
  );

  it('makes no version where nothing changes', async () => {
    const { id, email } = await createUser(service);
    const order = await placeOrder(service, id, { note: 'Same', metadata: { a: '1' } });
    for (const [path, patch] of [
      [`/v1/users/${id}`, { email, name: 'Ada Lovelace' }],
      [`/v1/users/${id}`, {}],
      [`/v1/orders/${order.id}`, { note: 'Same', metadata: { a: '1', absent: null } }],
      [`/v1/orders/${order.id}`, {}],
    ] as const) {
      const before = await service.send('get', path).expect(200);
      const response = await service.send('patch', path).set('If-Match', '"1"').send(patch).expect(200);
      expect(response.text).toBe(before.text);
      expect(response.get('ETag')).toBe('"1"');
    }
    expect([await versionsOf(id), await versionsOf(order.id)]).toEqual([[1], [1]]);
  });

  it('cancels once', async () => {
    const { id } = await placeOrder(service, user.id);
    const responses = await Promise.all(
      times(10, (index) => (index % 2 ? service : replica).send('post', `/v1/orders/${id}/cancel`).send({})),
    );
    expect(statuses(responses)).toEqual([200, ...times(9, () => 409)]);
    expect(responses.find(({ status }) => status === 409)?.body).toMatchObject({
      code: 'illegal-transition',
      from: 'cancelled',
      allowed: [],
    });
    expect(await versionsOf(id)).toEqual([1, 2]);
  });

  it('never go back in time, though the clock does', async () => {
    const { id, updatedAt } = await createUser(service);
    const order = await placeOrder(service, id);
    const now = Date.now;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
    try {
      const path = `/v1/orders/${order.id}`;
      const renamed = await service
        .send('patch', `/v1/users/${id}`)
        .set('If-Match', '*')
        .send({ name: 'Ada King' });
      const noted = await service.send('patch', path).set('If-Match', '*').send({ note: 'Late' });
      const cancelled = await service.send('post', `${path}/cancel`).send({});
      expect(renamed.body).toMatchObject({ version: 2, updatedAt });
      expect(noted.body).toMatchObject({ version: 2, updatedAt: order.updatedAt });
      expect(cancelled.body).toMatchObject({ version: 3, updatedAt: order.updatedAt });
      const events = await database.query<{ at: Date }>('SELECT at FROM audit_events WHERE subject_id = $1', [
        order.id,
      ]);
      expect(events.map(({ at }) => at.toISOString())).toEqual(times(3, () => order.updatedAt));
    } finally {
      clock.mockRestore();
    }
  });
});

const access = (): Access => ({
  actor: { type: 'user', id: admin.id },
  role: 'admin',
  scopes: [],
  sessionId: null,
  reach: 'all',
});
const origin = (): Origin => ({ actor: access().actor, requestId: randomUUID() });

/** A placement for `Placing`; what is not given is as in `place`. */
function write(
  members: Partial<PlaceOrder>,
  { key = randomUUID(), scope = admin.id }: { key?: string; scope?: string } = {},
): Write<Placement> & { request: IdempotentRequest } {
  const order = Object.assign(new PlaceOrder(), { userId: user.id, currency: 'EUR', ...members });
  order.lines = lines.map((line) => Object.assign(new PlaceOrderLine(), line));
  const fingerprint = createHash('sha256').update(canonicalBytes(members)).digest();
  return { input: preparePlacement(order, access()), origin: origin(), request: { scope, key, fingerprint } };
}

/** Places all at once, so that they share a transaction as far as they can. */
const placeAll = (on: TestService, writes: readonly Write<Placement>[]) =>
  Promise.all(
    writes.map((each) =>
      on.app
        .get(Placing)
        .place(each)
        .catch((error: unknown) => {
          if (error instanceof Problem) return error;
          throw error;
        }),
    ),
  );

/** A result in a word: the problem's code, `replayed` or `placed`. */
function inAWord(result: Written<'order.placed'> | Problem): string {
  if (result instanceof Problem) return result.code;
  return result.replayed ? 'replayed' : 'placed';
}

async function keysOf(scope: string): Promise<string[]> {
  const rows = await database.query<{ key: string }>('SELECT key FROM idempotency_keys WHERE scope = $1', [
    scope,
  ]);
  return rows.map(({ key }) => key).sort();
}

describe('what happens without a change', () => {
  /** Issues a reset token for a user, as one row without a version; `after` runs in the same transaction. */
  const record = (occurrence: Occurrence | undefined, after = (_: Transaction) => Promise.resolve()) =>
    service.app.get(WritePath).record(origin(), async (tx) => {
      await tx.query(
        `INSERT INTO reset_tokens (user_id, token_hash, expires_at) VALUES ($1, sha256(''), now() + interval '1 h')`,
        [user.id],
      );
      await after(tx);
      return { occurrence, result: 'done' };
    });
  const issued = (): Occurrence => ({ action: 'user.reset-token-issued', subjectId: user.id });
  const count = async () => {
    const [counts] = await database.query<{ tokens: number; events: number }>(
      `SELECT (SELECT count(*)::int FROM reset_tokens WHERE user_id = $1) AS tokens,
              (SELECT count(*)::int FROM audit_events WHERE subject_id = $1 AND subject_version IS NULL) AS events`,
      [user.id],
    );
    return counts;
  };
  beforeEach(() => database.query('DELETE FROM reset_tokens'));

  it('is kept together with its event', async () => {
    const before = await count();
    expect(await record(issued())).toBe('done');
    expect(await count()).toEqual({ tokens: 1, events: (before?.events ?? NaN) + 1 });
  });

  it('is not kept without one', async () => {
    const before = await count();
    expect(await record(undefined)).toBe('done');
    expect(await count()).toEqual(before);
  });

  it('is not kept, nor is its event, when it fails', async () => {
    const before = await count();
    const failed = record(issued(), () => Promise.reject(new Problem('not-found', 'Never mind')));
    await expect(failed).rejects.toThrow('Never mind');
    const broken = record(issued(), async (tx) => {
      await tx.query('SELECT 1 / 0').catch(() => undefined);
    });
    await expect(broken).rejects.toMatchObject({ driverError: { code: '25P02' } });
    expect(await count()).toEqual(before);
  });

  it('begins anew after a conflict, and is told once', async () => {
    const before = await count();
    let attempts = 0;
    await record(issued(), async (tx) => {
      attempts++;
      if (attempts === 1) {
        await tx.query(`DO $$ BEGIN RAISE SQLSTATE '${SqlState.serializationFailure}'; END $$`);
      }
    });
    expect([attempts, await count()]).toEqual([2, { tokens: 1, events: (before?.events ?? NaN) + 1 }]);
  });
});

describe('a list of placements', () => {
  it('answers each one, and keeps nothing of those refused', async () => {
    const [scope, note, reference] = [randomUUID(), randomUUID(), randomUUID()];
    const earlier = write({ note, reference }, { scope, key: 'earlier' });
    const [before] = await placeAll(service, [earlier]);
    const results = await placeAll(service, [
      write({ note }, { scope, key: 'good' }),
      write({ note, userId: randomUUID() }, { scope, key: 'unknown' }),
      write({ note, reference }, { scope, key: 'taken' }),
      earlier,
      write({ note, shipping: 9 }, { scope, key: 'earlier' }),
      write({ note }, { scope, key: 'good' }),
      write({ note, shipping: 9 }, { scope, key: 'good' }),
      write({ note, reference: `${reference} b` }, { scope, key: 'first of a reference' }),
      write({ note, reference: `${reference} b` }, { scope, key: 'second of a reference' }),
      write({ note, userId: randomUUID() }, { scope, key: 'second chance' }),
      write({ note }, { scope, key: 'second chance' }),
      { ...write({ note }), request: undefined },
    ]);
    expect(results.map(inAWord)).toEqual([
      'placed',
      'validation-failed',
      'already-exists',
      'replayed',
      'idempotency-key-reused',
      'replayed',
      'idempotency-key-reused',
      'placed',
      'already-exists',
      'validation-failed',
      'placed',
      'placed',
    ]);
    const states = results.map((result) => (result instanceof Problem ? undefined : result.state));
    expect(states[3]).toEqual(before instanceof Problem ? before : before?.state);
    expect(states[5]).toEqual(states[0]);
    expect(await countPlaced(note)).toEqual({ orders: 5, events: 5, keys: 4 });
    expect(await keysOf(scope)).toEqual(['earlier', 'first of a reference', 'good', 'second chance']);

    const later = await placeAll(service, [
      write({ note, shipping: 1 }, { scope, key: 'unknown' }),
      write({ note, shipping: 1 }, { scope, key: 'taken' }),
    ]);
    expect(later.map(inAWord)).toEqual(['placed', 'placed']);
  });

  it('leaves nothing where all are refused', async () => {
    const [scope, note] = [randomUUID(), randomUUID()];
    const results = await placeAll(
      service,
      times(3, (index) => write({ note, userId: randomUUID() }, { scope, key: `${index}` })),
    );
    expect(results.map(inAWord)).toEqual(times(3, () => 'validation-failed'));
    expect([await countPlaced(note), await keysOf(scope)]).toEqual([none, []]);
  });

  it('goes on without one that the database refuses for a reason nobody foresaw', async () => {
    const [note, key] = [randomUUID(), randomUUID()];
    const broken = write({ note }, { key });
    broken.input.lines.forEach((line) => Object.assign(line, { quantity: 0 }));
    const results = await Promise.allSettled(
      [write({ note }), broken, write({ note })].map((each) => service.app.get(Placing).place(each)),
    );
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: { driverError: { code: '23514' } } });
    expect(await countPlaced(note)).toEqual({ orders: 2, events: 2, keys: 2 });
    const [mended] = await placeAll(service, [write({ note }, { key })]);
    expect(mended).toMatchObject({ replayed: false });
  });

  it('does not deadlock with a list in the opposite order, neither on keys nor on references', async () => {
    for (let round = 0; round < 20; round++) {
      const [scope, note, reference] = [randomUUID(), randomUUID(), randomUUID()];
      const keyed = times(10, (index) => write({ note }, { scope, key: `${index}` }));
      const [some, same] = await Promise.all([
        placeAll(service, keyed),
        placeAll(replica, keyed.toReversed()),
      ]);
      expect([...some, ...same].map(inAWord).sort()).toEqual([
        ...times(10, () => 'placed'),
        ...times(10, () => 'replayed'),
      ]);
      const named = (key: string) =>
        times(10, (index) =>
          write({ note, reference: `${reference} ${index}` }, { scope, key: `${key} ${9 - index}` }),
        );
      const [left, right] = await Promise.all([
        placeAll(service, named('left')),
        placeAll(replica, named('right').toReversed()),
      ]);
      expect([...left, ...right].map(inAWord).sort()).toEqual([
        ...times(10, () => 'already-exists'),
        ...times(10, () => 'placed'),
      ]);
      expect((await countPlaced(note)).orders).toBe(20);
    }
  });

  const placements = fc.array(
    fc.record({
      key: fc.integer({ min: 0, max: 5 }),
      userId: fc.constantFrom('known', 'another', 'unknown'),
      reference: fc.option(fc.integer({ min: 0, max: 2 })),
      shipping: fc.integer({ min: 0, max: 1 }),
    }),
    { minLength: 1, maxLength: 8 },
  );

  it('places what it acknowledges exactly once, and nothing else, in any mix at once', async () => {
    const users: Record<string, string> = {
      known: user.id,
      another: (await createUser(service)).id,
      unknown: randomUUID(),
    };
    await fc.assert(
      fc.asyncProperty(fc.array(placements, { minLength: 1, maxLength: 4 }), async (lists) => {
        const [scope, note] = [randomUUID(), randomUUID()];
        const writes = lists.map((list) =>
          list.map(({ key, userId, reference, shipping }) =>
            write(
              {
                note,
                shipping,
                userId: users[userId]!,
                reference: reference === null ? null : `${note} ${reference}`,
              },
              { scope, key: `${key}` },
            ),
          ),
        );
        const results = await Promise.all(
          writes.map((list, index) => placeAll(index % 2 ? replica : service, list)),
        );
        const answers = writes.flatMap((list, at) =>
          list.map((each, index) => ({ ...each, result: results[at]![index]! })),
        );

        const stored = await database.query<{
          key: string;
          id: string;
          user: string;
          reference: string | null;
        }>(
          `SELECT key, orders.id, user_id AS user, reference
             FROM orders LEFT JOIN audit_events ON subject_id = orders.id AND subject_version = 1
                         LEFT JOIN idempotency_keys ON event_id = audit_events.id AND scope = $1
             WHERE note = $2`,
          [scope, note],
        );
        const placed = answers.flatMap(({ request, input, result }) =>
          inAWord(result) === 'placed' && !(result instanceof Problem)
            ? [
                {
                  key: request.key,
                  id: result.state.id,
                  user: input.userId,
                  reference: input.order.reference,
                },
              ]
            : [],
        );
        const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1);
        expect(stored.toSorted(byKey)).toEqual(placed.toSorted(byKey));
        expect(await keysOf(scope)).toEqual(stored.map(({ key }) => key).sort());

        for (const { request, input, result } of answers) {
          const first = answers.find(
            (each) => each.request.key === request.key && inAWord(each.result) === 'placed',
          );
          switch (inAWord(result)) {
            case 'placed':
              break;
            case 'replayed':
              expect(request.fingerprint).toEqual(first?.request.fingerprint);
              expect({ ...result, replayed: false }).toEqual(first?.result);
              break;
            case 'idempotency-key-reused':
              expect(first).toBeDefined();
              expect(request.fingerprint).not.toEqual(first?.request.fingerprint);
              break;
            case 'validation-failed':
              expect(input.userId).toBe(users.unknown);
              break;
            case 'already-exists':
              expect(stored).toContainEqual(
                expect.objectContaining({ user: input.userId, reference: input.order.reference }),
              );
              break;
            default:
              throw new Error(`Unexpected: ${inAWord(result)}`);
          }
        }
      }),
      { numRuns: 30 },
    );
  });
});

describe('a transaction', () => {
  let dataSource: DataSource;
  beforeAll(async () => {
    // As superuser, for whom deadlocks are found after a second.
    dataSource = await new DataSource(dataSourceOptions(database.superuserUrl, 4)).initialize();
  });
  afterAll(() => dataSource.destroy());

  const raise = (state: string) => `DO $$ BEGIN RAISE SQLSTATE '${state}'; END $$`;
  const addKey = (tx: Transaction, scope: string) =>
    tx.query(
      `INSERT INTO idempotency_keys (scope, key, fingerprint, event_id)
         SELECT $1, 'key', '', id FROM audit_events LIMIT 1`,
      [scope],
    );

  it.each([SqlState.serializationFailure, SqlState.deadlockDetected])(
    'begins anew after %s, three times',
    async (state) => {
      const scope = randomUUID();
      let attempts = 0;
      const result = await inTransaction(dataSource, async (tx) => {
        attempts++;
        await addKey(tx, scope);
        if (attempts <= 3) await tx.query(raise(state));
        return { commit: true, result: 'done' };
      });
      expect([result, attempts]).toEqual(['done', 4]);
      expect(await keysOf(scope)).toEqual(['key']);
    },
  );

  it.each([SqlState.serializationFailure, SqlState.deadlockDetected])(
    'is unavailable after %s for the fourth time',
    async (state) => {
      const scope = randomUUID();
      let attempts = 0;
      const refused = inTransaction(dataSource, async (tx) => {
        attempts++;
        await addKey(tx, scope);
        await tx.query(raise(state));
        return { commit: true, result: 'done' };
      });
      await expect(refused).rejects.toMatchObject({ code: 'unavailable', headers: { 'Retry-After': '1' } });
      expect(attempts).toBe(4);
      expect(await keysOf(scope)).toEqual([]);
    },
  );

  it('does not begin anew after any other failure', async () => {
    let attempts = 0;
    const refused = inTransaction(dataSource, async (tx) => {
      attempts++;
      await tx.query('SELECT 1 / 0');
      return { commit: true, result: undefined };
    });
    await expect(refused).rejects.toMatchObject({ driverError: { code: '22012' } });
    expect(attempts).toBe(1);
  });

  it('survives a real deadlock', async () => {
    const ids = [(await createUser(service)).id, (await createUser(service)).id];
    let [locked, attempts] = [0, 0];
    const { promise: bothLocked, resolve } = Promise.withResolvers<void>();
    const lock = (tx: Transaction, id: string) =>
      tx.query('SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE', [id]);
    const lockBoth = (order: string[]) =>
      inTransaction(dataSource, async (tx) => {
        attempts++;
        await lock(tx, order[0]!);
        if (++locked === 2) resolve();
        await bothLocked;
        await lock(tx, order[1]!);
        return { commit: true, result: 'done' };
      });
    expect(await Promise.all([lockBoth(ids), lockBoth(ids.toReversed())])).toEqual(['done', 'done']);
    expect(attempts).toBe(3);
  });

  it('fails loudly when its use case swallows an error of the database', async () => {
    const scope = randomUUID();
    const refused = inTransaction(dataSource, async (tx) => {
      await addKey(tx, scope);
      await tx.query('SELECT 1 / 0').catch(() => undefined);
      return { commit: true, result: 'as if all were well' };
    });
    await expect(refused).rejects.toThrow('swallowed');
    expect(await keysOf(scope)).toEqual([]);
  });

  it('that a use case has broken silently answers 500, and its key stays free', async () => {
    const [scope, note] = [randomUUID(), randomUUID()];
    const request = { ...write({ note }, { scope }).request, key: 'key' };
    const refused = service.app.get(WritePath).write<'order.placed'>(origin(), request, async (tx) => {
      const [change] = await placeOrders(tx, [write({ note }).input]);
      await tx.query('SELECT 1 / 0').catch(() => undefined);
      if (change === undefined || change instanceof Problem) throw new Error('It should be placed');
      return change;
    });
    await expect(refused).rejects.not.toBeInstanceOf(Problem);
    expect([await countPlaced(note), await keysOf(scope)]).toEqual([none, []]);
  });

  it('rolls back what is not to be kept', async () => {
    const scope = randomUUID();
    const work = async (tx: Transaction) => {
      await addKey(tx, scope);
      return { commit: false, result: 'nothing' };
    };
    expect(await inTransaction(dataSource, work)).toBe('nothing');
    expect(await keysOf(scope)).toEqual([]);
  });

  it('of a change without its event is refused by the database', async () => {
    const scope = randomUUID();
    const refused = inTransaction(dataSource, async (tx) => {
      await addKey(tx, scope);
      await tx.query('UPDATE users SET version = version + 1 WHERE id = $1', [user.id]);
      return { commit: true, result: undefined };
    });
    await expect(refused).rejects.toMatchObject({ code: '23503' });
    expect(await keysOf(scope)).toEqual([]);
  });

  it('takes no error number of a socket for an SQLSTATE', () => {
    expect(sqlState(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))).toBeUndefined();
    expect(sqlState(Object.assign(new Error('deadlock'), { code: '40P01' }))).toBe('40P01');
  });
});

describe('a connection that is lost', () => {
  let proxy: CuttingProxy;
  let behindProxy: TestService;
  beforeEach(async () => {
    proxy = await startProxy(database.serviceUrl);
    cleanups.push(() => proxy.stop());
    behindProxy = await startReplica({ DATABASE_URL: proxy.url });
  });

  /** Asks behind the proxy while it cuts, then once more there and once elsewhere; returns how many answers are replays. */
  async function repeat(cut: Promise<void>, ask: (on: TestService) => Promise<Response>): Promise<number> {
    const lost = await ask(behindProxy);
    await cut;
    expect(lost.status).toBe(503);
    expect(lost.body).toMatchObject({ code: 'unavailable' });
    expect(lost.get('Retry-After')).toMatch(/^\d+$/);
    // Both have to wait here until the server has noticed that the connection is gone.
    const retries = await Promise.all([ask(behindProxy), ask(service)]);
    expect(retries.map(({ ok }) => ok)).toEqual([true, true]);
    expect(retries[0].text).toBe(retries[1].text);
    return retries.filter((retry) => retry.get('Idempotency-Replayed') === 'true').length;
  }

  it.each([
    ['before the order arrives', 'request', 1],
    ['before the order is acknowledged', 'answered', 2],
  ] as const)('%s: 503, and the retry settles it', async (_, moment, replayed) => {
    const [key, note] = [randomUUID(), randomUUID()];
    const cut = proxy.cutAt(moment, 'place orders directly');
    expect(await repeat(cut, (on) => place(on, key, { note }))).toBe(replayed);
    expect(await countPlaced(note)).toEqual(one);
  });

  it.each([
    ['before the key of a change is taken', 'request', 'INSERT INTO idempotency_keys', 1],
    ['before its event is stored', 'request', 'insert events', 1],
    ['before its COMMIT arrives', 'request', 'COMMIT\0', 1],
    ['before its COMMIT is answered', 'answer', 'COMMIT\0', 2],
  ] as const)('%s: 503, and the retry settles it', async (_, moment, bytes, replayed) => {
    const key = randomUUID();
    const { id } = (await place(service, randomUUID())).body as { id: string };
    const hold = async (on: TestService) =>
      on.send('post', `/v1/orders/${id}/hold`).set('Idempotency-Key', key).send({ reason: 'Model' });
    expect(await repeat(proxy.cutAt(moment, bytes), hold)).toBe(replayed);
    expect(await versionsOf(id)).toEqual([1, 2]);
  });

  it('after some of a batch are written: these are placed, and the others are told to come again', async () => {
    const note = randomUUID();
    const nobody = write({ note, userId: randomUUID() });
    const cut = proxy.cutAt('request', 'START TRANSACTION');
    const results = await Promise.allSettled(
      [write({ note }), { ...nobody, request: undefined }, write({ note })].map((each) =>
        behindProxy.app.get(Placing).place(each),
      ),
    );
    await cut;
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(isDatabaseUnavailable((results[1] as PromiseRejectedResult).reason)).toBe(true);
    expect(await countPlaced(note)).toEqual({ orders: 2, events: 2, keys: 2 });
  });

  it('while idle: nobody notices but the pool', async () => {
    await behindProxy.send('get', `/v1/users/${user.id}`).expect(200);
    await database.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = 'ordo_app'`,
    );
    await eventually(() => behindProxy.send('get', `/v1/users/${user.id}`).expect(200));
    await eventually(() => service.send('get', `/v1/users/${user.id}`).expect(200));
    await eventually(() => replica.send('get', `/v1/users/${user.id}`).expect(200));
  });
});

describe('a process that is killed', () => {
  it('has placed each order once when all were sent again', async () => {
    const note = randomUUID();
    const keys = times(400, () => randomUUID());
    const { folder, remove } = await createFolder();
    cleanups.push(remove);
    const environment = {
      NODE_ENV: 'test',
      HOST: '127.0.0.1',
      DATABASE_URL: database.serviceUrl,
      ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    };
    const kill = async ({ process, exited }: ServiceProcess) => {
      process.kill('SIGKILL');
      await exited();
    };
    const send = async (url: string, key: string) => {
      const response = await fetch(`${url}/v1/orders`, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          'Idempotency-Key': key,
          Authorization: `Bearer ${service.adminToken}`,
        },
        body: JSON.stringify({ userId: user.id, currency: 'EUR', lines, note }),
      });
      return { status: response.status, text: await response.text() };
    };

    const doomed = startProcess(folder, environment);
    cleanups.push(() => kill(doomed));
    const url = await doomed.listening();
    let answered = 0;
    // A few at a time: otherwise one batch takes them all.
    const atATime = pLimit(20);
    const first = await Promise.allSettled(
      keys.map((key) =>
        atATime(async () => {
          const answer = await send(url, key);
          if (++answered === 50) void kill(doomed);
          return answer;
        }),
      ),
    );
    const acknowledged = first.filter(({ status }) => status === 'fulfilled').length;
    expect(acknowledged).toBeGreaterThanOrEqual(50);
    expect(acknowledged).toBeLessThan(keys.length);

    const successor = startProcess(folder, environment);
    cleanups.push(() => kill(successor));
    const again = await successor.listening();
    const second = await Promise.all(keys.map((key) => send(again, key)));
    for (const [index, answer] of second.entries()) {
      expect(answer.status).toBe(201);
      const before = first[index];
      if (before?.status === 'fulfilled') expect(before.value).toEqual(answer);
    }
    expect(await countPlaced(note)).toEqual({ orders: 400, events: 400, keys: 400 });
  });
});

describe('the purge of keys', () => {
  it('forgets those past their time, and only those', async () => {
    const purging = await startReplica({ IDEMPOTENCY_TTL_HOURS: 2 });
    const [scope, key, note] = [randomUUID(), randomUUID(), randomUUID()];
    await place(purging, key, { note });
    await database.query(
      `UPDATE idempotency_keys SET created_at = now() - interval '121 minutes' WHERE key = $1`,
      [key],
    );
    await database.query(
      `INSERT INTO idempotency_keys (scope, key, fingerprint, event_id, created_at)
         SELECT $1, age, '', (SELECT id FROM audit_events LIMIT 1), now() - age * interval '1 minute'
           FROM generate_series(1, 2600) AS age`,
      [scope],
    );
    // Of 120 minutes one may pass while the test runs.
    const old = (await keysOf(scope)).filter((age) => Number(age) > 121).length;
    const purged = await purging.app.get(KeyPurge).purge();
    expect(purged - old).toBeGreaterThanOrEqual(1);
    const kept = (await keysOf(scope)).map(Number);
    expect(Math.max(...kept)).toBeLessThanOrEqual(120);
    expect(kept.length).toBeGreaterThanOrEqual(119);
    expect(await purging.app.get(KeyPurge).purge()).toBe(0);

    const anew = await place(purging, key, { note });
    expect(anew.status).toBe(201);
    expect(anew.get('Idempotency-Replayed')).toBeUndefined();
    expect((await countPlaced(note)).orders).toBe(2);
  });
});
