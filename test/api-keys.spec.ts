import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import request, { type Test } from 'supertest';
import { createFolder, eventually, startProcess } from './support/process.js';
import { createUser, lines } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

interface KeyBody {
  id: string;
  name: string;
  scopes: string[];
  expiresAt: string | null;
  revokedAt: string | null;
  lastUsedAt: string | null;
  version: number;
  createdAt: string;
  updatedAt: string;
}
interface NewKey {
  /** The body of the creation without the token. */
  body: KeyBody;
  token: string;
  secret: string;
}

const PATH = '/v1/api-keys';
const EVERY_SCOPE = ['orders:read', 'orders:write', 'users:read', 'users:write', 'audit:read'];

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

function post(members: object = {}): Test {
  return service.send('post', PATH).send({ name: randomUUID(), scopes: ['orders:read'], ...members });
}

async function createKey(members: object = {}): Promise<NewKey> {
  const { key, ...body } = (await post(members).expect(201)).body;
  return { body, token: key, secret: key.slice(-43) };
}

function bearer(token: string, test: Test): Test {
  return test.set('Authorization', `Bearer ${token}`);
}

/** A request on `/v1/orders` with this token. */
function orders(token: string, method: 'get' | 'post' = 'get'): Test {
  return service.as(token).send(method, '/v1/orders');
}

async function revoke({ body }: NewKey): Promise<void> {
  await service.send('delete', `${PATH}/${body.id}`).expect(204);
}

async function eventsOf(id: string) {
  return (await service.send('get', `${PATH}/${id}/events`).expect(200)).body.data;
}

describe('creating a key', () => {
  it('answers 201 with the key, its place and its version', async () => {
    const expiresAt = '2099-12-31T23:59:59.999Z';
    const members = { name: 'Lager "Süd" 📦', scopes: ['orders:write', 'audit:read'], expiresAt };
    const response = await post(members).expect(201);
    const { key, ...body } = response.body;
    expect(key).toMatch(new RegExp(`^ordo_${body.id}_[A-Za-z0-9_-]{43}$`));
    expect(body).toMatchObject({ ...members, revokedAt: null, lastUsedAt: null, version: 1 });
    expect(response.get('Location')).toBe(`${PATH}/${body.id}`);
    expect(response.get('ETag')).toBe('"1"');
    expect(response.get('Cache-Control')).toBe('no-store');
    await service.send('get', `${PATH}/${body.id}`).set('If-None-Match', '"1"').expect(304);
  });

  it('shows the key this once: neither GET, list, events nor replay have it', async () => {
    const send = () => post({ name: 'once' }).set('Idempotency-Key', 'shown once');
    const first = await send().expect(201);
    const { key, ...body } = first.body;
    const replay = await send().expect(201);
    expect(first.get('Idempotency-Replayed')).toBeUndefined();
    expect(replay.get('Idempotency-Replayed')).toBe('true');
    expect(replay.get('Location')).toBe(first.get('Location'));
    expect(replay.body).toEqual(body);
    expect((await service.send('get', `${PATH}/${body.id}`).expect(200)).body).toEqual(body);
    const list = await service.send('get', `${PATH}?limit=100`).expect(200);
    expect(list.body.data[0]).toEqual(body);
    expect(list.text + JSON.stringify(await eventsOf(body.id))).not.toContain(key.slice(-43));
  });

  it('keeps a hash alone: no table holds the secret', async () => {
    const { token, secret, body } = await createKey();
    await orders(token).expect(200);
    const tables = await service.database.query<{ name: string }>(
      `SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'`,
    );
    let dump = '';
    for (const { name } of tables) {
      const [row] = await service.database.query<{ text: string | null }>(
        `SELECT string_agg(each::text, E'\\n') AS text FROM ${name} AS each`,
      );
      dump += row?.text ?? '';
    }
    expect(dump).toContain(body.name);
    // The text of a bytea is its hex.
    const hex = [Buffer.from(secret), Buffer.from(secret, 'base64url')].map((bytes) => bytes.toString('hex'));
    for (const clear of [secret, ...hex]) expect(dump).not.toContain(clear);
  });

  it.each([
    ['no scope', { scopes: [] }, '/scopes', 'array-min-size'],
    ['a scope twice', { scopes: ['orders:read', 'orders:read'] }, '/scopes', 'array-unique'],
    ['an unknown scope', { scopes: ['orders:read', 'orders:delete'] }, '/scopes', 'is-in'],
    ['one scope too many', { scopes: [...EVERY_SCOPE, 'users:read'] }, '/scopes', 'array-unique'],
    ['no array of scopes', { scopes: 'orders:read' }, '/scopes', 'is-array'],
    ['no scopes', { scopes: undefined }, '/scopes', 'required'],
    ['an empty name', { name: '' }, '/name', 'is-text'],
    ['a long name', { name: 'x'.repeat(101) }, '/name', 'is-text'],
    ['no name', { name: undefined }, '/name', 'required'],
    ['an expiry that is past', { expiresAt: '2020-01-01T00:00:00Z' }, '/expiresAt', 'past'],
    ['an expiry that is no time', { expiresAt: '2099-02-30T00:00:00Z' }, '/expiresAt', 'is-instant'],
    ['its own id', { id: randomUUID() }, '/id', 'unknown-member'],
    ['its own version', { version: 7 }, '/version', 'unknown-member'],
    ['its own secret', { secret: 'x' }, '/secret', 'unknown-member'],
    ['its own revocation', { revokedAt: null }, '/revokedAt', 'unknown-member'],
  ])('refuses %s', async (_what, members, pointer, code) => {
    const { body } = await post(members).expect(422);
    expect(body).toMatchObject({ code: 'validation-failed', errors: [{ pointer, code }] });
  });

  it('answers a replay also after the key has expired; the key itself is then refused', async () => {
    const members = { name: 'short', expiresAt: new Date(Date.now() + 2_000).toISOString() };
    const send = () => post(members).set('Idempotency-Key', 'expires soon');
    const { key } = (await send().expect(201)).body;
    await orders(key).expect(200);
    await eventually(() => orders(key).expect(401));
    await send().expect(201);
    await post(members).expect(422);
  });
});

describe('keys of the same name', () => {
  it('are two at a time, so that one takes over from the other', async () => {
    const name = 'rotation';
    const first = await createKey({ name });
    const second = await createKey({ name });
    const refused = (await post({ name }).expect(409)).body;
    expect(refused).toMatchObject({ code: 'already-exists', field: 'name' });
    expect(refused.detail).toMatch(/revoke one/);
    await orders(first.token).expect(200);
    await orders(second.token).expect(200);

    await revoke(first);
    const third = await createKey({ name });
    await post({ name }).expect(409);
    await orders(third.token).expect(200);
    await createKey({ name: 'Rotation' });
  });

  it('count after they expired, until they are revoked', async () => {
    const name = 'expiring';
    const expired = await createKey({ name, expiresAt: new Date(Date.now() + 2_000).toISOString() });
    await createKey({ name });
    await eventually(() => orders(expired.token).expect(401));
    await post({ name }).expect(409);
    await revoke(expired);
    await createKey({ name });
  });

  it('are two when ten are created at once, and two again when these are replaced at once', async () => {
    const name = 'race';
    const statuses = async () => {
      const answers = await Promise.all(Array.from({ length: 10 }, () => post({ name })));
      return answers.map(({ status }) => status).sort();
    };
    const expected = [201, 201, ...Array<number>(8).fill(409)];
    expect(await statuses()).toEqual(expected);
    const { data } = (await service.send('get', `${PATH}?limit=2`).expect(200)).body;
    const [again] = await Promise.all([
      statuses(),
      ...data.map(({ id }: KeyBody) => service.send('delete', `${PATH}/${id}`).expect(204)),
    ]);
    expect(again.filter((status) => status === 201).length).toBeLessThanOrEqual(2);
    const rows = await service.database.query(
      'SELECT slot FROM api_keys WHERE name = $1 AND revoked_at IS NULL',
      [name],
    );
    expect(rows).toHaveLength(again.filter((status) => status === 201).length);
  });
});

describe('revoking a key', () => {
  it('ends it within 5 s, for ever, and it stays in the list', async () => {
    const key = await createKey();
    await orders(key.token).expect(200);
    await revoke(key);
    const revoked = Date.now();
    const refused = await eventually(() => orders(key.token).expect(401));
    expect(Date.now() - revoked).toBeLessThan(5_000);
    expect(refused.body.code).toBe('unauthenticated');

    const { body } = await service.send('get', `${PATH}/${key.body.id}`).expect(200);
    expect(body).toMatchObject({ version: 2, revokedAt: body.updatedAt });
    const { data } = (await service.send('get', `${PATH}?limit=1`).expect(200)).body;
    expect(data).toEqual([body]);
  });

  it('has its event, as the creation has', async () => {
    const key = await createKey();
    await revoke(key);
    const { revokedAt } = (await service.send('get', `${PATH}/${key.body.id}`).expect(200)).body;
    const events = await eventsOf(key.body.id);
    const actor = { type: 'user', id: expect.any(String) };
    expect(events).toMatchObject([
      { action: 'api-key.created', version: 1, actor, changes: [] },
      {
        action: 'api-key.revoked',
        version: 2,
        actor,
        changes: [{ pointer: '/revokedAt', from: null, to: revokedAt }],
      },
    ]);
    const audit = await service
      .send('get', '/v1/audit/events?subjectType=api-key&action=api-key.revoked&limit=1')
      .expect(200);
    expect(audit.body.data[0]).toMatchObject({ id: events[1].id, actor: events[1].actor });
  });

  it('changes nothing the second time, however many do it at once', async () => {
    const { body } = await createKey();
    await Promise.all(
      Array.from({ length: 5 }, () => service.send('delete', `${PATH}/${body.id}`).expect(204)),
    );
    expect(await eventsOf(body.id)).toHaveLength(2);
  });

  it('honours If-Match, and knows no key that was not created', async () => {
    const { body } = await createKey();
    const mismatch = await service.send('delete', `${PATH}/${body.id}`).set('If-Match', '"2"').expect(412);
    expect(mismatch.body).toMatchObject({ code: 'version-mismatch', currentVersion: 1 });
    await service.send('delete', `${PATH}/${body.id}`).set('If-Match', '"1"').expect(204);
    for (const id of [randomUUID(), 'x']) {
      await service.send('delete', `${PATH}/${id}`).expect(404);
      await service.send('get', `${PATH}/${id}`).expect(404);
      await service.send('get', `${PATH}/${id}/events`).expect(404);
    }
  });
});

describe('calling with a key', () => {
  it('does what its scopes allow, in its own name', async () => {
    const user = await createUser(service);
    const order = { userId: user.id, currency: 'EUR', lines };
    const reader = await createKey({ scopes: ['orders:read'] });
    const writer = await createKey({ scopes: ['orders:write'] });
    await orders(reader.token).expect(200);
    const refused = await orders(reader.token, 'post').set('Idempotency-Key', 'k').send(order).expect(403);
    expect(refused.body.code).toBe('forbidden');
    await orders(writer.token).expect(403);
    const placed = await orders(writer.token, 'post').set('Idempotency-Key', 'k').send(order).expect(201);
    const events = await service.send('get', `/v1/orders/${placed.body.id}/events`).expect(200);
    expect(events.body.data[0].actor).toEqual({ type: 'api-key', id: writer.body.id });
  });

  it('does not reach keys, whatever the scopes', async () => {
    const { token, body } = await createKey({ scopes: EVERY_SCOPE });
    const caller = service.as(token);
    await caller.send('get', PATH).expect(403);
    await caller.send('post', PATH).send({ name: 'x', scopes: EVERY_SCOPE }).expect(403);
    await caller.send('delete', `${PATH}/${body.id}`).expect(403);
    await caller.send('get', '/v1/users?limit=1').expect(200);
    await caller.send('get', '/v1/audit/events?limit=1').expect(200);
  });

  it('takes the key to the letter', async () => {
    const key = await createKey();
    const other = await createKey();
    const { token, secret, body } = key;
    const flipped = (position: number, bit: number) => {
      const bytes = Buffer.from(secret, 'base64url');
      bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
      return `ordo_${body.id}_${bytes.toString('base64url')}`;
    };
    // The last character of 43 stands for 4 bits; the other 2 say nothing, and yet have to be as they were.
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const unused = letters[letters.indexOf(secret.slice(-1)) + 1] ?? '';
    const wrong = [
      `ordo_${body.id}_${other.secret}`,
      `ordo_${other.body.id}_${secret}`,
      `ordo_${randomUUID()}_${secret}`,
      flipped(0, 0),
      flipped(31, 7),
      token.slice(0, -1) + unused,
      token.toUpperCase(),
      token.replace(body.id, body.id.toUpperCase()),
      token.replace(body.id, body.id.replaceAll('-', '')),
      `${token}x`,
      `${token}=`,
      `${token}_`,
      token.slice(0, -1),
      token.slice('ordo_'.length),
      token.replace('ordo_', 'orda_'),
      secret,
      body.id,
      'ordo_',
      'ordo__',
      `ordo_${body.id}_`,
    ];
    for (const each of wrong) {
      expect([each, (await orders(each)).status]).toEqual([each, 401]);
    }
    await orders(token).expect(200);
    await orders(other.token).expect(200);
  });

  it('shows when a key was used last', async () => {
    const { token, body } = await createKey();
    const before = Date.now();
    await orders(token).expect(200);
    const used = await eventually(async () => {
      const { body: now } = await service.send('get', `${PATH}/${body.id}`).expect(200);
      expect(now.lastUsedAt).not.toBeNull();
      return now;
    });
    expect(Math.abs(Date.parse(used.lastUsedAt) - before)).toBeLessThan(10_000);
    expect({ ...used, lastUsedAt: null }).toEqual(body);
    const { data } = (await service.send('get', `${PATH}?limit=1`).expect(200)).body;
    expect(data).toEqual([used]);
  });

  it('does not wait until its use is recorded, and records it only forward in time', async () => {
    const { token, body } = await createKey();
    const future = '2099-01-01T00:00:00.000Z';
    const replica = await service.database.connect();
    await replica.query('BEGIN');
    await replica.query('INSERT INTO api_key_uses VALUES ($1, $2)', [body.id, future]);
    const recording = async () =>
      service.database.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND state = 'active' AND query LIKE 'INSERT INTO api_key_uses%'`,
      );
    await orders(token).expect(200);
    await eventually(async () => expect(await recording()).toHaveLength(1));
    await replica.query('COMMIT');
    await eventually(async () => expect(await recording()).toHaveLength(0));
    const { body: used } = await service.send('get', `${PATH}/${body.id}`).expect(200);
    expect(used.lastUsedAt).toBe(future);
  });

  it('works where its use cannot be recorded; the log says so, and holds no key', async () => {
    const { folder, remove } = await createFolder();
    await service.database.query('REVOKE INSERT ON api_key_uses FROM ordo_service');
    const running = startProcess(folder, {
      DATABASE_URL: service.database.serviceUrl,
      ORDO_SECRET: 'a secret of the tests, 32 characters or more',
      HOST: '127.0.0.1',
      LOG_LEVEL: 'trace',
    });
    try {
      const url = await running.listening();
      const created = await bearer(service.adminToken, request(url).post(PATH))
        .send({ name: 'logged', scopes: ['orders:read'] })
        .expect(201);
      const { key } = created.body;
      await bearer(key, request(url).get('/v1/orders')).expect(200);
      await bearer(`${key}x`, request(url).get('/v1/orders')).expect(401);
      await eventually(async () =>
        expect(running.lines).toContainEqual(
          expect.stringMatching(/"level":40.*"The use of an API key was not recorded"/),
        ),
      );
      expect(running.lines.join('\n')).not.toContain(key.slice(-43));
    } finally {
      running.process.kill('SIGTERM');
      await running.exited();
      await service.database.query('GRANT INSERT ON api_key_uses TO ordo_service');
      await remove();
    }
  });
});
