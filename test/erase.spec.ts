import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { parseTreeHead } from '../src/audit/log/checkpoint.js';
import { openNote, parseVerifier } from '../src/audit/log/note.js';
import { leafHash, verifyInclusion } from '../src/audit/log/tree.js';
import { seal } from '../src/audit/sealing/seal.js';
import { HttpSource } from '../src/cli/log/http-source.js';
import { verifyLog } from '../src/cli/log/verify-log.js';
import { dumpOf } from './support/dump.js';
import { createKey, createPerson, PASSWORD, signIn, type Tokens } from './support/people.js';
import { createFolder, eventually, freePort, type ServiceProcess, startProcess } from './support/process.js';
import { createUser, lines, placeOrder, type UserBody } from './support/samples.js';
import { startService, testConfig, type TestService } from './support/service.js';
import { publish, verifierKey } from './support/synthetic-log.js';

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

interface EventBody {
  version: number;
  action: string;
  summary: string;
  changes: unknown[];
}

const erase = (id: string) => service.send('post', `/v1/users/${id}/erase`);

async function erased(id: string): Promise<UserBody> {
  return (await erase(id).expect(200)).body as UserBody;
}

async function eventsOf(id: string): Promise<EventBody[]> {
  return ((await service.send('get', `/v1/users/${id}/events`).expect(200)).body as { data: EventBody[] })
    .data;
}

/** The rows of the audit trail but for what an erasure removes. */
async function trail(): Promise<unknown[]> {
  return service.database.query(
    `SELECT to_jsonb(event) - 'salt' - 'state' AS row FROM audit_events AS event ORDER BY seq`,
  );
}

describe('an erased person', () => {
  it('is nobody: placeholders in the profile, and in the history nothing but what happened', async () => {
    const { user } = await createPerson(service);
    const path = `/v1/users/${user.id}`;
    await service.send('patch', path).set('If-Match', '"1"').send({ name: 'Another Name' }).expect(200);
    const before = await trail();
    const response = await erase(user.id).set('If-Match', '"2"').expect(200);
    expect(response.get('ETag')).toBe('"3"');
    const { updatedAt } = response.body as UserBody;
    expect(response.body).toEqual({
      ...user,
      name: 'Erased user',
      email: `${user.id}@erased.invalid`,
      status: 'erased',
      version: 3,
      updatedAt,
    });
    expect((await service.send('get', path).expect(200)).body).toEqual(response.body);
    const listed = await service.send('get', '/v1/users?status=erased&limit=100').expect(200);
    expect((listed.body as { data: UserBody[] }).data).toContainEqual(response.body);
    expect(await eventsOf(user.id)).toMatchObject([
      { version: 1, action: 'user.created', summary: 'user.created', changes: [] },
      { version: 2, action: 'user.updated', summary: 'user.updated', changes: [] },
      { version: 3, action: 'user.erased', summary: 'User erased', changes: [] },
    ]);
    const audit = await service.send('get', `/v1/audit/events?subjectId=${user.id}&limit=100`).expect(200);
    expect((audit.body as { data: { action: string }[] }).data).toContainEqual(
      expect.objectContaining({ action: 'user.erased', subject: { type: 'user', id: user.id, version: 3 } }),
    );
    // The log is as it was, to the byte: entries, leaf hashes and all that is searched by.
    expect((await trail()).slice(0, before.length)).toEqual(before);
  });

  it('is erased once, however often it is asked for', async () => {
    const { id } = await createUser(service);
    const key = randomUUID();
    const first = await erase(id).set('Idempotency-Key', key).set('If-Match', '"1"').expect(200);
    const replay = await erase(id).set('Idempotency-Key', key).set('If-Match', '"1"').expect(200);
    expect(replay.get('Idempotency-Replayed')).toBe('true');
    const again = await erase(id).expect(200);
    expect([replay.text, again.text]).toEqual([first.text, first.text]);
    await erase(id).set('If-Match', '"1"').expect(412);
    expect(await eventsOf(id)).toHaveLength(2);
  });

  it('is erased only at the version that is meant, and only if there is one', async () => {
    const { id } = await createUser(service);
    await erase(id).set('If-Match', '"2"').expect(412);
    await erase(randomUUID()).expect(404);
    expect(await eventsOf(id)).toHaveLength(1);
  });

  it('whose creation is asked for again with its key is not there', async () => {
    const key = randomUUID();
    const body = { name: 'Ada', email: `${randomUUID()}@example.com` };
    const create = () => service.send('post', '/v1/users').set('Idempotency-Key', key).send(body);
    const { id } = (await create().expect(201)).body as UserBody;
    await erased(id);
    await create().expect(404);
  });

  it('is neither changed, suspended nor reinstated', async () => {
    const { id } = await createUser(service);
    await service.send('post', `/v1/users/${id}/suspend`).expect(200);
    const refused = await service.send('post', `/v1/users/${id}/suspend`).expect(409);
    expect(refused.body).toMatchObject({ from: 'suspended', allowed: ['reinstate', 'erase'] });
    await erased(id);
    for (const request of [
      service.send('post', `/v1/users/${id}/suspend`),
      service.send('post', `/v1/users/${id}/reinstate`),
      service.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({ name: 'Back again' }),
      service.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({}),
    ]) {
      const response = await request.expect(409);
      expect(response.body).toMatchObject({ code: 'illegal-transition', from: 'erased', allowed: [] });
    }
    expect(await eventsOf(id)).toHaveLength(3);
  });

  it('signs in no more: sessions, tokens, password and reset token are gone', async () => {
    const person = await createPerson(service);
    const { user, accessToken, refreshToken } = person;
    const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
    const { resetToken } = issued.body as { resetToken: string };
    await service.as(accessToken).send('get', '/v1/users/me').expect(200);
    await erased(user.id);
    // In this process at once.
    await service.as(accessToken).send('get', '/v1/users/me').expect(401);
    const post = (path: string, body: object) => service.as(undefined).send('post', path).send(body);
    await post('/v1/auth/refresh', { refreshToken }).expect(401);
    await post('/v1/auth/password', { resetToken, newPassword: `${PASSWORD}, later` }).expect(401);
    for (const email of [user.email, `${user.id}@erased.invalid`]) {
      await post('/v1/auth/login', { email, password: PASSWORD }).expect(401);
    }
    const reissued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id });
    expect(reissued.body).toMatchObject({ status: 422, errors: [{ pointer: '/userId', code: 'unknown' }] });
    for (const table of ['passwords', 'sessions', 'reset_tokens']) {
      expect(await service.database.query(`SELECT FROM ${table} WHERE user_id = $1`, [user.id])).toEqual([]);
    }
  });

  it('is remembered by no idempotency key of theirs', async () => {
    const person = await createPerson(service);
    const order = service.as(person.accessToken).send('post', '/v1/orders');
    await order.set('Idempotency-Key', 'of theirs').send({ currency: 'EUR', lines }).expect(201);
    await erased(person.user.id);
    const keys = await service.database.query(`SELECT FROM idempotency_keys WHERE scope = $1`, [
      person.user.id,
    ]);
    expect(keys).toEqual([]);
  });

  it('gets no new order, and those that there are stay and are dealt with', async () => {
    const { user } = await createPerson(service);
    const [paid, open] = [await placeOrder(service, user.id), await placeOrder(service, user.id)];
    const staff = service.as((await createPerson(service, 'staff')).accessToken);
    await erased(user.id);
    const order = { userId: user.id, currency: 'EUR', lines };
    const unknown = { status: 422, errors: [{ pointer: '/userId', code: 'unknown' }] };
    const post = (path: string, body: object) =>
      staff.send('post', path).set('Idempotency-Key', randomUUID()).send(body);
    expect((await post('/v1/orders', order)).body).toMatchObject(unknown);
    expect((await post('/v1/orders/preview', order)).body).toMatchObject(unknown);
    const items = [{ idempotencyKey: randomUUID(), order }];
    const batch = await staff.send('post', '/v1/orders/batch').send({ items }).expect(207);
    expect(batch.body).toMatchObject({ data: [{ status: 422, body: unknown }] });

    const payment = { amount: paid.total, provider: 'bank', providerReference: randomUUID() };
    await post(`/v1/orders/${paid.id}/payments`, payment).expect(200);
    await post(`/v1/orders/${paid.id}/refunds`, { full: true, reason: 'returned' }).expect(200);
    await post(`/v1/orders/${open.id}/cancel`, {}).expect(200);
    const list = await staff.send('get', `/v1/orders?userId=${user.id}`).expect(200);
    expect((list.body as { data: object[] }).data).toMatchObject([
      { id: open.id, userId: user.id, status: 'cancelled' },
      { id: paid.id, userId: user.id, paymentStatus: 'refunded' },
    ]);
    await staff.send('get', `/v1/orders/${open.id}?version=1`).expect(200);
  });

  it('leaves the address to whoever registers with it next, who is somebody else', async () => {
    const { user } = await createPerson(service);
    await erased(user.id);
    const body = { name: 'Next', email: user.email.toUpperCase(), password: PASSWORD };
    const next = await service.as(undefined).send('post', '/v1/auth/register').send(body).expect(201);
    expect((next.body as UserBody).id).not.toBe(user.id);
    await signIn(service, user.email);
  });

  it('stands under an address that nobody else can have', async () => {
    const { id, email } = await createUser(service);
    const taken = `${id}@Erased.Invalid`;
    const fault = { status: 422, errors: [{ pointer: '/email', code: 'is-email' }] };
    const create = await service.send('post', '/v1/users').send({ name: 'A', email: taken });
    const register = await service
      .as(undefined)
      .send('post', '/v1/auth/register')
      .send({ name: 'A', email: taken, password: PASSWORD });
    const patch = await service.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({ email: taken });
    for (const { body } of [create, register, patch]) expect(body).toMatchObject(fault);
    expect((await erased(id)).email).not.toBe(email);
  });

  it('may have been an admin, but not the last one', async () => {
    const admin = await createPerson(service, 'admin');
    const me = (await service.send('get', '/v1/users/me').expect(200)).body as UserBody;
    await service.as(admin.accessToken).send('post', `/v1/users/${admin.user.id}/erase`).expect(200);
    const others = await service.database.query<{ id: string }>(
      `SELECT id FROM users WHERE role = 'admin' AND status = 'active' AND id <> $1`,
      [me.id],
    );
    expect(others).toEqual([]);
    expect((await erase(me.id).expect(409)).body).toMatchObject({ code: 'last-admin' });
    expect((await service.send('get', '/v1/users/me').expect(200)).body).toEqual(me);
  });
});

describe('the log', () => {
  interface Proof {
    leafIndex: number;
    hashes: string[];
    checkpoint: string;
    entry: string;
    salt: string | null;
    state: string | null;
  }

  const sealAndPublish = async () => {
    await seal(service.app.get(DataSource));
    return publish(service);
  };
  const proofOf = async (id: string) =>
    (await service.send('get', `/v1/audit/events/${id}/proof`).expect(200)).body as Proof;
  const bytes = (base64: string) => Buffer.from(base64, 'base64');

  it('continues what was published before an erasure, and every leaf is that of its entry', async () => {
    const { id } = await createUser(service);
    const note = await sealAndPublish();
    await erased(id);
    await sealAndPublish();
    const credentials = { kind: 'access token', text: service.adminToken } as const;
    const { head } = await verifyLog(await HttpSource.at(service.url, credentials), {
      verifiers: verifierKey(service).split(',').map(parseVerifier),
      earlier: [{ name: 'before', note }],
      entries: true,
    });
    expect(head.size).toBeGreaterThan(Number(note.split('\n')[1]));
  });

  it('proves an event as before, and opens its state to nobody any more', async () => {
    const { id } = await createUser(service);
    await sealAndPublish();
    const list = await service.send('get', `/v1/audit/events?subjectId=${id}`).expect(200);
    const [created] = (list.body as { data: { id: string }[] }).data;
    const before = await proofOf(created?.id ?? '');
    expect(JSON.parse(bytes(before.state ?? '').toString())).toMatchObject({ id, name: 'Ada Lovelace' });
    await erased(id);
    await sealAndPublish();
    const after = await proofOf(created?.id ?? '');
    const { leafIndex, entry } = before;
    expect(after).toMatchObject({ leafIndex, entry, salt: null, state: null });
    const verifiers = verifierKey(service).split(',').map(parseVerifier);
    for (const proof of [before, after]) {
      const { size, root } = parseTreeHead(openNote(proof.checkpoint, verifiers));
      const leaf = leafHash(bytes(proof.entry));
      expect(verifyInclusion(leaf, proof.leafIndex, size, proof.hashes.map(bytes), root)).toBe(true);
    }
  });
});

describe('an erasure at the same time as', () => {
  it('changes: both happen, or the change comes too late', async () => {
    const { id } = await createUser(service);
    const patches = Array.from({ length: 6 }, (_, index) =>
      service
        .send('patch', `/v1/users/${id}`)
        .set('If-Match', '*')
        .send({ name: `Race ${index}` }),
    );
    const [answer, ...changed] = await Promise.all([erase(id), ...patches]);
    expect(answer.status).toBe(200);
    expect(changed.filter(({ status }) => status !== 200 && status !== 409)).toEqual([]);
    const dump = await service.database.query(
      `SELECT FROM audit_events WHERE subject_id = $1 AND convert_from(state, 'UTF8') LIKE '%Race%'`,
      [id],
    );
    expect(dump).toEqual([]);
    expect((await eventsOf(id)).at(-1)?.action).toBe('user.erased');
  });

  it('anything else of theirs: it waits, and comes too late', async () => {
    const { user, accessToken } = await createPerson(service);
    const post = (path: string, body: object, token?: string) =>
      service.as(token).send('post', path).set('Idempotency-Key', randomUUID()).send(body);
    const issued = await post('/v1/auth/reset-tokens', { userId: user.id }, service.adminToken).expect(201);
    const { resetToken } = issued.body as { resetToken: string };
    const holder = await service.database.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM sessions WHERE user_id = $1 FOR UPDATE', [user.id]);
    // In the middle: the row is locked, and what was stored to sign in with is not gone yet.
    const erasure = erase(user.id).then();
    await untilWaiting(1);
    const late = Promise.all([
      service
        .send('post', '/v1/orders')
        .set('Idempotency-Key', randomUUID())
        .send({ userId: user.id, currency: 'EUR', lines }),
      post('/v1/auth/login', { email: user.email, password: PASSWORD }),
      service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }),
      post(
        '/v1/auth/password',
        { currentPassword: PASSWORD, newPassword: `${PASSWORD}, later` },
        accessToken,
      ),
      service.send('patch', `/v1/users/${user.id}`).set('If-Match', '*').send({ name: 'Late' }),
      post('/v1/auth/password', { resetToken, newPassword: `${PASSWORD}, later` }),
      post('/v1/auth/register', { name: 'Next', email: user.email, password: PASSWORD }),
    ]);
    await untilWaiting(8);
    await holder.query('COMMIT');
    expect((await erasure).status).toBe(200);
    expect((await late).map(({ status }) => status)).toEqual([422, 401, 422, 422, 409, 401, 201]);
    for (const table of ['passwords', 'sessions', 'reset_tokens']) {
      const rows = await service.database.query(`SELECT FROM ${table} WHERE user_id = $1`, [user.id]);
      expect([table, rows]).toEqual([table, []]);
    }
    expect(await eventsOf(user.id)).toHaveLength(2);
  });

  it('an order that is being placed: it comes after', async () => {
    const user = await createUser(service);
    const placing = await service.database.connect();
    await placing.query('BEGIN');
    // As the foreign key of the order does.
    await placing.query('SELECT FROM users WHERE id = $1 FOR KEY SHARE', [user.id]);
    const erasure = erase(user.id).then();
    await untilWaiting(1);
    await placing.query('COMMIT');
    expect((await erasure).status).toBe(200);
  });

  it('a reset of the password: one of them waits', async () => {
    const { user } = await createPerson(service);
    const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
    const { resetToken } = issued.body as { resetToken: string };
    const holder = await service.database.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM sessions WHERE user_id = $1 FOR UPDATE', [user.id]);
    const body = { resetToken, newPassword: `${PASSWORD}, later` };
    const reset = service.as(undefined).send('post', '/v1/auth/password').send(body).then();
    // The reset holds the user's row, and waits for the session that it has to end.
    await untilWaiting(1);
    const erasure = erase(user.id).then();
    await untilWaiting(2);
    await holder.query('COMMIT');
    expect([(await reset).status, (await erasure).status]).toEqual([204, 200]);
    expect(await service.database.query(`SELECT FROM passwords WHERE user_id = $1`, [user.id])).toEqual([]);
  });
});

/** Waits until so many statements wait for a lock. */
async function untilWaiting(number: number): Promise<void> {
  await eventually(async () => {
    const waiting = `SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    expect(await service.database.query(waiting)).toHaveLength(number);
  });
}

describe('after the erasure of somebody who has done everything', () => {
  const NAME = 'Zo\u00eb Quaxelburg';
  const EMAILS = [
    'Zoe.Quaxelburg@example.com',
    'zo\u00eb@b\u00fccher-vanterpool.example',
    'z@xn--bcher-vanterpool-jsb.example',
  ] as const;
  /** Whatever tells of the person: composed or not, escaped or not, in whatever case. */
  const TRACES = /quaxelburg|vanterpool|zo\u00eb|zoe\u0308|zo\\u00eb|xn--bcher/i;

  let folder: Awaited<ReturnType<typeof createFolder>>;
  let other: ServiceProcess;
  let url: string;
  let metricsUrl: string;
  beforeAll(async () => {
    folder = await createFolder();
    const { DATABASE_URL, ORDO_SECRET } = testConfig(service.database);
    const port = await freePort();
    metricsUrl = `http://127.0.0.1:${port}/metrics`;
    other = startProcess(folder.folder, {
      DATABASE_URL,
      ORDO_SECRET,
      LOG_LEVEL: 'trace',
      METRICS_PORT: String(port),
    });
    url = await other.listening();
  });
  afterAll(async () => {
    other.process.kill('SIGTERM');
    await other.exited();
    await folder.remove();
  });

  it('their name and addresses are in no table, event, log, metric or export', async () => {
    const texts: string[] = [];
    const send = async (method: string, path: string, body?: object, token?: string) => {
      const response = await fetch(url + path, {
        method,
        headers: {
          'If-Match': '*',
          'Idempotency-Key': randomUUID(),
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await response.text();
      return {
        status: response.status,
        text,
        body: (text === '' ? {} : JSON.parse(text)) as Tokens & UserBody,
      };
    };
    const [first, second, third] = EMAILS;
    const register = { name: NAME, email: first, password: PASSWORD };
    const { id } = (await send('POST', '/v1/auth/register', register)).body;
    const login = (email: string, password = PASSWORD) => send('POST', '/v1/auth/login', { email, password });
    const patch = async (members: object, token: string) =>
      expect((await send('PATCH', `/v1/users/${id}`, members, token)).status).toBe(200);
    expect((await login(first.toUpperCase(), 'a wrong one')).status).toBe(401);
    const { accessToken } = (await login(first.toUpperCase())).body;
    await patch({ name: NAME.normalize('NFD') }, accessToken);
    await patch({ email: second }, accessToken);
    await patch({ email: third }, accessToken);
    expect((await login(second)).status).toBe(401);
    expect((await login(third)).status).toBe(200);
    const order = { currency: 'EUR', lines };
    expect((await send('POST', '/v1/orders', order, accessToken)).status).toBe(201);
    expect((await send('POST', '/v1/auth/reset-tokens', { userId: id }, service.adminToken)).status).toBe(
      201,
    );
    await send('POST', '/v1/auth/register', { ...register, email: third });
    await send('GET', `/v1/users?email=${encodeURIComponent(third)}`, undefined, accessToken);
    await createKey(service, ['orders:read']);
    // The planner looks at the tables and keeps samples of what it sees.
    await service.database.query('ANALYZE');
    const before = await dumpOf(service.database);
    for (const trace of [NAME, NAME.normalize('NFD'), ...EMAILS]) expect(before).toContain(trace);
    const own = await send('GET', `/v1/users/${id}/export`, undefined, accessToken);
    for (const trace of [NAME, NAME.normalize('NFD'), ...EMAILS]) expect(own.text).toContain(trace);
    const sold = await send('GET', `/v1/orders/export?userId=${id}`, undefined, service.adminToken);
    expect(sold.text).toContain(third);

    await erased(id);
    await eventually(async () => {
      expect((await send('GET', '/v1/users/me', undefined, accessToken)).status).toBe(401);
    });
    for (const path of [
      `/v1/users/${id}`,
      `/v1/users/${id}/events`,
      `/v1/users/${id}/export`,
      `/v1/orders?userId=${id}`,
      `/v1/orders/export?userId=${id}`,
      `/v1/audit/events?subjectId=${id}&limit=100`,
      `/v1/audit/events?actorId=${id}&limit=100`,
    ]) {
      const answer = await send('GET', path, undefined, service.adminToken);
      expect([path, answer.status]).toEqual([path, 200]);
      texts.push(answer.text);
    }
    texts.push(await fetch(metricsUrl).then((response) => response.text()));
    expect(texts.at(-1)).toContain('http_request_duration_seconds_count');
    expect(other.lines.filter((line) => line.includes('"route"')).length).toBeGreaterThan(15);
    const after = await dumpOf(service.database);
    expect(after).toContain(id);
    const found = [...texts, ...other.lines, ...after.split('\n')].filter((text) => TRACES.test(text));
    expect(found).toEqual([]);
  });
});
