import { randomUUID } from 'node:crypto';
import { Controller, Get, Module } from '@nestjs/common';
import { DiscoveryModule, NestFactory } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { hash, verify } from '@node-rs/argon2';
import fc from 'fast-check';
import type { Response } from 'supertest';
import { DenyByDefault } from '../src/auth/deny-by-default.js';
import { FirstAdmin } from '../src/auth/first-admin.js';
import type { ServiceConfig } from '../src/config/config.js';
import { createApp } from '../src/create-app.js';
import { Public, Requires } from '../src/http/access.js';
import { isCommon, normalizePassword } from '../src/users/password-rules.js';
import { createDatabase } from './support/database.js';
import { createKey, createPerson, PASSWORD, type Person } from './support/people.js';
import { eventually } from './support/process.js';
import { createUser, type UserBody } from './support/samples.js';
import { ADMIN_EMAIL, startService, testConfig, type TestService } from './support/service.js';

let service: TestService;
beforeAll(async () => {
  // Behind a proxy: each attempt of a test can come from an address of its own.
  service = await startService({ TRUST_PROXY: 1 });
});
afterAll(() => service.stop());

let addresses = 0;
function newAddress(): string {
  addresses += 1;
  return `10.${addresses >> 16}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

function login(email: string, password: string, address = newAddress()) {
  return service
    .as(undefined)
    .send('post', '/v1/auth/login')
    .set('X-Forwarded-For', address)
    .send({ email, password });
}

interface Event {
  action: string;
  actor: { type: string; id: string | null };
  subject: { type: string; id: string | null; version: number | null };
}
async function events(query: string): Promise<Event[]> {
  const response = await service.send('get', `/v1/audit/events?limit=100&${query}`).expect(200);
  return (response.body as { data: Event[] }).data;
}

describe('a password', () => {
  it.each([
    ['eleven char', 'is-text'],
    ['a'.repeat(129), 'is-text'],
    ['QazWsxEdcRfv', 'common-password'],
    ['1qaz2wsx3edc', 'common-password'],
    ['Password1234!', 'common-password'],
    ['passwordpassword', 'common-password'],
    ['123456789012', 'common-password'],
    ['aaaaaaaaaaaaaa', 'common-password'],
    ['abcabcabcabcabc', 'common-password'],
    ['grace.the.hopper@example.com', 'common-password'],
    ['Grace.The.Hopper!!1', 'common-password'],
    ['1906 hopper.1906 1992', 'common-password', 'hopper.1906@example.com'],
  ])('%p is refused at registration: %s', async (password, code, email = 'grace.the.hopper@example.com') => {
    const response = await service
      .as(undefined)
      .send('post', '/v1/auth/register')
      .send({ name: 'Grace', email, password });
    expect(response.body).toMatchObject({ status: 422, errors: [{ pointer: '/password', code }] });
    expect(response.text).not.toContain(password);
  });

  it('that nobody guesses is not called common', async () => {
    const password = fc.stringMatching(/^[a-z0-9]{16,40}$/).filter((text) => new Set(text).size > 8);
    await fc.assert(fc.asyncProperty(password, async (text) => !(await isCommon(text, 'ada@example.com'))));
  });

  it('is the same however a keyboard composes it', async () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(normalizePassword(text.normalize('NFD'))).toBe(normalizePassword(text.normalize('NFC')));
      }),
    );
    const user = await createUser(service, { password: 'Zo\u00eb \ufb01nds \u212bngstr\u00f6m' });
    await login(user.email, 'Zoe\u0308 finds A\u030angstro\u0308m').expect(200);
  });

  it('whose hash was made with less work is hashed anew at the next sign-in, and sessions go on', async () => {
    const { user, accessToken } = await createPerson(service);
    const weak = await hash(PASSWORD, { memoryCost: 8_192, timeCost: 1, parallelism: 1 });
    await service.database.query(`UPDATE passwords SET hash = $2 WHERE user_id = $1`, [user.id, weak]);
    await login(user.email, PASSWORD).expect(200);
    const [row] = await service.database.query<{ hash: string }>(
      `SELECT hash FROM passwords WHERE user_id = $1`,
      [user.id],
    );
    expect(row?.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    await login(user.email, PASSWORD).expect(200);
    await service.as(accessToken).send('get', '/v1/auth/sessions').expect(200);
  });

  it('is changed by whoever knows the old one, and by whoever holds a reset token, once', async () => {
    const { user, accessToken } = await createPerson(service);
    const change = (body: object, token: string | undefined = accessToken) =>
      service.as(token).send('post', '/v1/auth/password').set('X-Forwarded-For', newAddress()).send(body);

    const wrong = await change({ currentPassword: 'not the one at all', newPassword: 'another one to keep' });
    expect(wrong.body).toMatchObject({
      status: 422,
      errors: [{ pointer: '/currentPassword', code: 'wrong-password' }],
    });
    const weak = await change({ currentPassword: PASSWORD, newPassword: 'passwordpassword' });
    expect(weak.body).toMatchObject({
      status: 422,
      errors: [{ pointer: '/newPassword', code: 'common-password' }],
    });
    const nobody = await service
      .as(undefined)
      .send('post', '/v1/auth/password')
      .send({ currentPassword: PASSWORD, newPassword: 'another one to keep' });
    expect(nobody.status).toBe(401);
    const key = await createKey(service, ['users:write']);
    expect(
      (await change({ currentPassword: PASSWORD, newPassword: 'another one to keep' }, key)).status,
    ).toBe(403);
    for (const body of [{}, { currentPassword: PASSWORD, resetToken: 'x' }]) {
      expect((await change({ ...body, newPassword: 'another one to keep' })).status).toBe(422);
    }

    expect((await change({ currentPassword: PASSWORD, newPassword: 'another one to keep' })).status).toBe(
      204,
    );
    await login(user.email, PASSWORD).expect(401);
    await login(user.email, 'another one to keep').expect(200);

    const issue = async () => {
      const issued = await service
        .send('post', '/v1/auth/reset-tokens')
        .send({ userId: user.id })
        .expect(201);
      expect(issued.get('Cache-Control')).toBe('no-store');
      return issued.body as { resetToken: string; expiresAt: string };
    };
    const [replaced, issued] = [await issue(), await issue()];
    expect(Date.parse(issued.expiresAt) - Date.now()).toBeGreaterThan(23.9 * 3_600_000);
    const reset = (resetToken: string) =>
      service
        .as(undefined)
        .send('post', '/v1/auth/password')
        .send({ resetToken, newPassword: 'and yet another one' });
    await reset(replaced.resetToken).expect(401);
    const answers = await Promise.all([reset(issued.resetToken), reset(issued.resetToken)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 401]);
    await login(user.email, 'and yet another one').expect(200);

    const old = await issue();
    await service.database.query(`UPDATE reset_tokens SET expires_at = now() WHERE user_id = $1`, [user.id]);
    await reset(old.resetToken).expect(401);
    await service.send('post', '/v1/auth/reset-tokens').send({ userId: randomUUID() }).expect(422);
    const actions = (await events(`subjectId=${user.id}`)).map(({ action }) => action);
    expect(actions).toEqual(
      expect.arrayContaining(['user.password-changed', 'user.password-reset', 'user.reset-token-issued']),
    );
  });
});

describe('signing in', () => {
  let suspended: UserBody;
  let active: UserBody;
  let withoutPassword: UserBody;
  beforeAll(async () => {
    active = (await createPerson(service)).user;
    suspended = (await createPerson(service)).user;
    withoutPassword = await createUser(service);
    await service.send('post', `/v1/users/${suspended.id}/suspend`).expect(200);
  });

  it('is in any case of the address, and answers no-store', async () => {
    const response = await login(active.email.toUpperCase(), PASSWORD).expect(200);
    expect(response.get('Cache-Control')).toBe('no-store');
  });

  it('fails alike for who is unknown, wrong, suspended or without a password: status, body and headers', async () => {
    const answers = [
      await login('nobody@example.com', PASSWORD),
      await login(active.email, 'a wrong password'),
      await login(suspended.email, PASSWORD),
      await login(suspended.email, 'a wrong password'),
      await login(withoutPassword.email, PASSWORD),
    ];
    const [first, ...others] = answers.map(withoutIds);
    expect(first).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    for (const other of others) expect(other).toEqual(first);
  });

  it('takes as long for who is unknown, wrong or suspended: medians of interleaved attempts', async () => {
    // A difference of the work stays however long one looks; noise evens out.
    const times: [number[], number[], number[]] = [[], [], []];
    let ratio = Infinity;
    for (let round = 0; round < 6 && ratio >= 1.1; round++) {
      // Accounts of their own: after fifty failures an account is throttled, and refusals are fast.
      const known = await createUser(service, { password: PASSWORD });
      const barred = await createUser(service, { password: PASSWORD });
      await service.send('post', `/v1/users/${barred.id}/suspend`).expect(200);
      for (let attempt = 0; attempt < 20; attempt++) {
        const attempts = [
          () => login(`nobody.${randomUUID()}@example.com`, PASSWORD),
          () => login(known.email, 'a wrong password'),
          () => login(barred.email, PASSWORD),
        ];
        for (const which of [0, 1, 2].map((index) => (index + attempt) % 3)) {
          times[which]?.push(await duration(attempts[which]?.() ?? Promise.resolve()));
        }
      }
      const medians = times.map(median);
      ratio = Math.max(...medians) / Math.min(...medians);
    }
    expect(ratio).toBeLessThan(1.1);
  });

  it('is on the record: signed in, failed, throttled; without names, addresses and passwords', async () => {
    const { user } = await createPerson(service);
    const address = newAddress();
    await login(user.email, 'a wrong password', address);
    for (let attempt = 0; attempt < 6; attempt++) await login(user.email, 'a wrong password', address);
    const throttled = await login(user.email, PASSWORD, address);
    expect(throttled.body).toMatchObject({ status: 429, code: 'too-many-attempts' });
    expect(Number(throttled.get('Retry-After'))).toBeGreaterThan(0);
    const found = await events(`subjectId=${user.id}`);
    const actions = new Set(found.map(({ action }) => action));
    expect(actions).toEqual(
      new Set(['user.created', 'user.signed-in', 'user.sign-in-failed', 'user.sign-in-throttled']),
    );
    expect(found.find(({ action }) => action === 'user.signed-in')).toMatchObject({
      actor: { type: 'user', id: user.id },
      subject: { type: 'user', id: user.id, version: null },
    });
    expect(found.find(({ action }) => action === 'user.sign-in-failed')).toMatchObject({
      actor: { type: 'anonymous', id: null },
    });
    const rows = await service.database.query(
      `SELECT FROM audit_events WHERE convert_from(entry, 'UTF8') ~ ANY($1)`,
      [[user.email.replaceAll('.', '\\.'), address.replaceAll('.', '\\.'), PASSWORD, 'wrong password']],
    );
    expect(rows).toEqual([]);
    // The victim signs in from elsewhere.
    await login(user.email, PASSWORD).expect(200);
  });

  it('is counted for the account, in however many ways its address is written', async () => {
    const email = `iii.${randomUUID()}@example.com`;
    await createUser(service, { email, password: PASSWORD });
    const address = newAddress();
    const spellings = [
      'iii',
      'Iii',
      '\u0130ii',
      'i\u0130i',
      'ii\u0130',
      '\u0130\u0130i',
      '\u0130\u0130\u0130',
      'III',
    ];
    const statuses = [];
    for (const spelling of spellings) {
      statuses.push((await login(email.replace('iii', spelling), 'a wrong password', address)).status);
    }
    expect(statuses.slice(0, 5)).toEqual([401, 401, 401, 401, 401]);
    expect(statuses.at(-1)).toBe(429);
  });

  it('answers no-store, and refuses a bad current password on the record, in whatever case the path is', async () => {
    const { user, accessToken } = await createPerson(service);
    const response = await fetch(`${service.url}/v1/AUTH/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ email: user.email, password: PASSWORD }),
    });
    expect([response.status, response.headers.get('Cache-Control')]).toEqual([200, 'no-store']);
    const wrong = { currentPassword: 'not the one at all', newPassword: 'another one to keep' };
    await service
      .as(accessToken)
      .send('post', '/v1/auth/password')
      .set('X-Forwarded-For', newAddress())
      .send(wrong)
      .expect(422);
    expect((await events(`subjectId=${user.id}&action=user.sign-in-failed`)).length).toBe(1);
  });

  it('is possible for the owner at a new address while others guess, once a reset token was used from there', async () => {
    const { user } = await createPerson(service);
    for (let guess = 0; guess < 55; guess++) await login(user.email, 'a wrong password');
    const address = newAddress();
    await login(user.email, PASSWORD, address).expect(429);
    const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
    const { resetToken } = issued.body as { resetToken: string };
    await service
      .as(undefined)
      .send('post', '/v1/auth/password')
      .set('X-Forwarded-For', address)
      .send({ resetToken, newPassword: 'chosen by the owner' })
      .expect(204);
    await login(user.email, 'chosen by the owner', address).expect(200);
    await login(user.email, 'chosen by the owner').expect(429);
  });

  it('a change of the password does not undo a reset that was faster', async () => {
    const { user, accessToken } = await createPerson(service);
    const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
    const { resetToken } = issued.body as { resetToken: string };
    // The reset is stored while the change is being hashed: it waits for the lock that the change has to wait for, too.
    const client = await service.database.connect(service.database.superuserUrl);
    await client.query('BEGIN');
    await client.query('SELECT FROM passwords WHERE user_id = $1 FOR UPDATE', [user.id]);
    const send = (body: object, token?: string) =>
      service
        .as(token)
        .send('post', '/v1/auth/password')
        .set('X-Forwarded-For', newAddress())
        .send(body)
        .then();
    const reset = send({ resetToken, newPassword: 'chosen by the owner' });
    await untilWaiting(1);
    const change = send({ currentPassword: PASSWORD, newPassword: 'chosen by a thief' }, accessToken);
    await untilWaiting(2);
    await client.query('COMMIT');
    expect([(await reset).status, (await change).status]).toEqual([204, 422]);
    await login(user.email, 'chosen by the owner').expect(200);
  });

  it('records no more failures of one address than its allowance, while it goes on to refuse them', async () => {
    const before = await countOf('user.sign-in-throttled');
    const [user, address] = [await createUser(service, { password: PASSWORD }), newAddress()];
    const attempts = Array.from({ length: 90 }, () => login(user.email, 'a wrong password', address));
    expect(new Set((await Promise.all(attempts)).map(({ status }) => status))).toEqual(new Set([401, 429]));
    expect((await countOf('user.sign-in-throttled')) - before).toBeLessThanOrEqual(60);
  });
});

describe('roles', () => {
  let customer: Person;
  let staff: Person;
  beforeAll(async () => {
    customer = await createPerson(service);
    staff = await createPerson(service, 'staff');
  });
  const patch = (token: string, id: string, body: object) =>
    service.as(token).send('patch', `/v1/users/${id}`).set('If-Match', '*').send(body);

  it('are raised by nobody for themselves, and given by no key', async () => {
    for (const { accessToken, user } of [customer, staff]) {
      for (const role of ['admin', 'staff', 'customer']) {
        expect((await patch(accessToken, user.id, { role })).status).toBe(403);
      }
    }
    const key = await createKey(service, ['users:write', 'users:read']);
    expect((await patch(key, customer.user.id, { role: 'admin' })).status).toBe(403);
    expect((await patch(key, staff.user.id, { name: 'X' })).status).toBe(403);
    const create = (role: string) =>
      service
        .as(key)
        .send('post', '/v1/users')
        .send({ name: 'X', email: `${randomUUID()}@example.com`, role });
    await create('admin').expect(403);
    await create('customer').expect(201);
    await service.as(key).send('post', `/v1/users/${staff.user.id}/suspend`).expect(403);
    expect((await service.send('get', `/v1/users/${customer.user.id}`)).body).toMatchObject({
      role: 'customer',
    });
  });

  it('are changed by an admin, with an event that says so', async () => {
    const { user } = await createPerson(service);
    const response = await patch(service.adminToken, user.id, { role: 'auditor' });
    expect(response.body).toMatchObject({ role: 'auditor', version: 2 });
    const [event] = await events(`subjectId=${user.id}&action=user.role-changed`);
    expect(event).toMatchObject({ actor: { type: 'user' }, subject: { version: 2 } });
    const history = await service.send('get', `/v1/users/${user.id}/events`);
    expect((history.body as { data: object[] }).data.at(-1)).toMatchObject({
      summary: 'Role changed to auditor',
      changes: [{ pointer: '/role', from: 'customer', to: 'auditor' }],
    });
  });

  it('refused to a known caller are on the record, by the guard and by a use case', async () => {
    const [byGuard, byUseCase] = [randomUUID(), randomUUID()];
    const as = service.as(customer.accessToken);
    await as.send('get', '/v1/users').set('X-Request-Id', byGuard).expect(403);
    await as
      .send('patch', `/v1/users/${customer.user.id}`)
      .set({ 'X-Request-Id': byUseCase, 'If-Match': '*' })
      .send({ role: 'admin' })
      .expect(403);
    const denied = await events(`actorId=${customer.user.id}&action=access.denied`);
    for (const requestId of [byGuard, byUseCase]) {
      expect(denied).toContainEqual(
        expect.objectContaining({
          requestId,
          actor: { type: 'user', id: customer.user.id },
          subject: { type: 'access', id: null, version: null },
        }),
      );
    }
  });

  it.each([
    ['post', '/v1/auth/register', { name: 'X', email: 'mass@example.com', password: PASSWORD }],
    ['post', '/v1/users', { name: 'X', email: 'mass@example.com' }],
    ['patch', '/v1/users/ID', { name: 'X' }],
    ['post', '/v1/orders', { currency: 'EUR', lines: [{ sku: 'A', name: 'A', quantity: 1, unitPrice: 1 }] }],
  ] as const)('%s %s takes no member that is not its own', async (method, path, body) => {
    const foreign = ['id', 'version', 'status', 'createdAt', 'passwordHash', 'sessionId', 'actor'];
    for (const member of path === '/v1/auth/register' ? [...foreign, 'role'] : foreign) {
      const response = await service
        .send(method, path.replace('ID', customer.user.id))
        .set('If-Match', '*')
        .set('Idempotency-Key', randomUUID())
        .send({ ...body, [member]: member === 'role' ? 'admin' : 'x' });
      expect(response.body).toMatchObject({
        status: 422,
        errors: [{ pointer: `/${member}`, code: 'unknown-member' }],
      });
    }
  });
});

describe('the last admin', () => {
  let alone: TestService;
  let other: Person;
  beforeAll(async () => {
    alone = await startService();
    other = await createPerson(alone, 'admin');
  });
  afterAll(() => alone.stop());

  it('is neither demoted nor suspended, also when two admins remove each other at once', async () => {
    const me = (await alone.send('get', '/v1/users/me')).body as UserBody;
    // Both are known to the service by now, so that the first removal does not sign out the second before it asks.
    await alone.as(other.accessToken).send('get', '/v1/users/me').expect(200);
    const removals = [
      alone.send('patch', `/v1/users/${other.user.id}`).set('If-Match', '*').send({ role: 'customer' }),
      alone.as(other.accessToken).send('post', `/v1/users/${me.id}/suspend`),
    ];
    const statuses = (await Promise.all(removals)).map(({ status }) => status);
    expect([...statuses].sort()).toEqual([200, 409]);
    const admins = await alone.database.query<{ id: string }>(
      `SELECT id FROM users WHERE role = 'admin' AND status = 'active'`,
    );
    expect(admins).toHaveLength(1);
    const survivor = statuses[0] === 200 ? alone.adminToken : other.accessToken;
    for (const attempt of [
      alone
        .as(survivor)
        .send('patch', `/v1/users/${admins[0]?.id}`)
        .set('If-Match', '*')
        .send({ role: 'staff' }),
      alone.as(survivor).send('post', `/v1/users/${admins[0]?.id}/suspend`),
    ]) {
      expect((await attempt).body).toMatchObject({ status: 409, code: 'last-admin' });
    }
  });
});

describe('the first admin', () => {
  it('has an address with which nobody else registers', async () => {
    const body = { name: 'Squatter', email: ADMIN_EMAIL.toUpperCase(), password: PASSWORD };
    const response = await service.as(undefined).send('post', '/v1/auth/register').send(body);
    expect(response.body).toMatchObject({ status: 409, code: 'already-exists', field: 'email' });
  });

  it('is made once, by however many replicas', async () => {
    const database = await createDatabase();
    const replicas = [startService({}, database), startService({}, database), startService({}, database)];
    const services = await Promise.all(replicas);
    expect(await database.query(`SELECT email FROM users`)).toEqual([{ email: ADMIN_EMAIL }]);
    await services[0]?.app.get(FirstAdmin).ensure();
    expect(await database.query(`SELECT role FROM users`)).toEqual([{ role: 'admin' }]);
    await Promise.all(services.map((each) => each.stop()));
    await database.drop();
  });

  it('gets no weak password', async () => {
    const first = await withoutAdmin({ ADMIN_PASSWORD: 'passwordpassword' });
    expect(first).toEqual({
      failure: expect.stringMatching(/^ADMIN_PASSWORD: .*common/),
      printed: '',
      users: [],
    });
  });

  it('gets a password that is printed once where none is chosen, and is none at all in production', async () => {
    const first = await withoutAdmin({ ADMIN_PASSWORD: undefined });
    expect(first).toMatchObject({ failure: undefined, users: [{ email: ADMIN_EMAIL, role: 'admin' }] });
    expect(first.printed).toMatch(
      /^\nSign in as admin@example\.com with the password [\w-]{20} \(told this once\)\n\n$/,
    );
    expect(await withoutAdmin({ ADMIN_PASSWORD: undefined, NODE_ENV: 'production' })).toEqual({
      failure: undefined,
      printed: '',
      users: [],
    });
  });
});

describe('an operator', () => {
  it('gives the only admin a new password by deleting the forgotten one', async () => {
    const database = await createDatabase();
    const first = await startService({}, database);
    await first.stop();
    await database.query(`DELETE FROM passwords`);
    const app = await createApp({ ...testConfig(database), ADMIN_PASSWORD: 'chosen by the operator' });
    await app.get(FirstAdmin).ensure();
    await app.close();
    const again = createApp({ ...testConfig(database), ADMIN_PASSWORD: 'not looked at any more' });
    await (await again).get(FirstAdmin).ensure();
    await (await again).close();
    const [row] = await database.query<{ hash: string }>(`SELECT hash FROM passwords`);
    expect(await verify(row?.hash ?? '', 'chosen by the operator')).toBe(true);
    await database.drop();
  });
});

/** What becomes of a first start with these settings on a database without users. */
async function withoutAdmin(settings: Partial<ServiceConfig>) {
  const database = await createDatabase();
  const app = await createApp({ ...testConfig(database), ...settings });
  const printed: string[] = [];
  const stdout = jest
    .spyOn(process.stdout, 'write')
    .mockImplementation((text) => printed.push(String(text)) > 0);
  try {
    const ensured = app.get(FirstAdmin).ensure();
    const failure = await ensured
      .then(() => undefined)
      .catch((error: unknown) => (Error.isError(error) ? error.message : 'no error'));
    const users = await database.query(`SELECT email, role FROM users`);
    return { failure, printed: printed.join(''), users };
  } finally {
    stdout.mockRestore();
    await app.close();
    await database.drop();
  }
}

describe('a route', () => {
  @Controller('naked')
  class NakedController {
    @Get('open')
    @Public()
    open(): string {
      return '';
    }

    @Get('closed')
    @Requires('audit:read')
    closed(): string {
      return '';
    }

    @Get('forgotten')
    forgotten(): string {
      return '';
    }
  }

  @Module({ imports: [DiscoveryModule], controllers: [NakedController], providers: [DenyByDefault] })
  class NakedModule {}

  it('that says neither who may use it nor that everybody may keeps the service from starting', async () => {
    const starting = NestFactory.createApplicationContext(NakedModule, {
      logger: false,
      abortOnError: false,
    });
    await expect(starting).rejects.toThrow(
      'Routes without @Requires(...) or @Public(): NakedController.forgotten',
    );
  });
});

/** Waits until so many connections wait for a lock. */
async function untilWaiting(count: number): Promise<void> {
  await eventually(async () => {
    const waiting = await service.database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    expect(waiting).toHaveLength(count);
  });
}

/** An answer without what differs from request to request. */
function withoutIds(response: Response): unknown {
  const { instance, ...body } = response.body as { instance: string };
  const volatile = ['x-request-id', 'date', 'ratelimit'];
  const headers = Object.entries(response.headers as Record<string, string>).filter(
    ([name]) => !volatile.includes(name),
  );
  return { status: response.status, body, headers };
}

async function countOf(action: string): Promise<number> {
  const [row] = await service.database.query<{ count: number }>(
    `SELECT count(*)::int AS count FROM audit_events WHERE action = $1`,
    [action],
  );
  return row?.count ?? 0;
}

async function duration(work: PromiseLike<unknown>): Promise<number> {
  const start = performance.now();
  await work;
  return performance.now() - start;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}
