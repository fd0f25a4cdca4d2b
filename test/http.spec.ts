import { randomUUID } from 'node:crypto';
import { createServer, get as httpGet } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import request, { type Response } from 'supertest';
import { validate as isUuid, version as uuidVersion } from 'uuid';
import { Metrics } from '../src/metrics/metrics.js';
import { problemKinds } from '../src/problems/catalogue.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { createKey, createPerson } from './support/people.js';
import {
  createFolder,
  eventually,
  printedAdmin,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from './support/process.js';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';

let service: TestService;
let admin: UserBody;
let user: UserBody;
let order: OrderBody;

beforeAll(async () => {
  service = await startService();
  admin = (await service.send('get', '/v1/users/me').expect(200)).body as UserBody;
  user = await createUser(service);
  order = await placeOrder(service, user.id);
});
afterAll(() => service.stop());

const patchOrder = (id: string, tag?: string) => {
  const patch = service.send('patch', `/v1/orders/${id}`);
  return tag === undefined ? patch : patch.set('If-Match', tag);
};

describe('X-Request-Id', () => {
  it('is the one of the client when that is a UUID', async () => {
    const id = randomUUID();
    const answer = await service.send('get', '/v1/users').set('X-Request-Id', id.toUpperCase()).expect(200);
    expect(answer.get('X-Request-Id')).toBe(id);
    const problem = await service.send('get', '/v1/nothing').set('X-Request-Id', id).expect(404);
    expect(problem.get('X-Request-Id')).toBe(id);
    expect(problem.body.instance).toBe(`urn:uuid:${id}`);
  });

  it.each(['abc', '1', '../../etc/passwd', `${randomUUID()} `.repeat(2), `{${randomUUID()}}`, "'; --"])(
    'is a new one when the client sends %s',
    async (given) => {
      const answer = await service.send('get', '/v1/users?limit=0').set('X-Request-Id', given).expect(400);
      const id = answer.get('X-Request-Id') ?? '';
      expect([isUuid(id), uuidVersion(id)]).toEqual([true, 7]);
      expect(answer.body.instance).toBe(`urn:uuid:${id}`);
    },
  );

  it('is recorded with the event that the request caused', async () => {
    const id = randomUUID();
    const email = `${randomUUID()}@example.com`;
    const created = await service
      .send('post', '/v1/users')
      .set('X-Request-Id', id)
      .send({ name: 'Ada', email });
    const history = await service
      .send('get', `/v1/users/${(created.body as UserBody).id}/events`)
      .expect(200);
    expect(history.body.data).toMatchObject([{ requestId: id, actor: { type: 'user', id: admin.id } }]);
  });
});

describe('problems', () => {
  it('have the members of RFC 9457 and ours, and no more', async () => {
    const plain = await service.send('get', `/v1/users/${UNKNOWN_ID}`).expect(404);
    expect(plain.body).toEqual({
      type: '/problems/not-found',
      title: 'Not found',
      status: 404,
      detail: 'There is nothing at this address.',
      instance: `urn:uuid:${plain.get('X-Request-Id') ?? ''}`,
      code: 'not-found',
    });
    const faulty = await service
      .send('post', '/v1/users')
      .send({ name: '', email: 'a@example.com' })
      .expect(422);
    expect(Object.keys(faulty.body)).toEqual([
      ...['type', 'title', 'status', 'detail', 'instance', 'code', 'errors'],
    ]);
    expect(faulty.body.errors).toEqual([
      { pointer: '/name', code: 'is-text', detail: 'name must be a string of 1 to 200 characters' },
    ]);
  });

  it.each(Object.entries(problemKinds))('%s has a page', async (code, { status, title }) => {
    const page = await request(service.url).get(`/problems/${code}`).set('Accept', 'text/html').expect(200);
    expect(page.get('Content-Type')).toBe('text/html; charset=utf-8');
    expect(page.text).toContain(`<h1>${title}</h1>`);
    expect(page.text).toContain(`HTTP status ${status}`);
  });

  it.each(['unknown', 'constructor', '__proto__', 'NOT-FOUND', '%3Cscript%3E'])(
    '%s has no page',
    async (code) => {
      const answer = await request(service.url).get(`/problems/${code}`).expect(404);
      expect(answer.type).toBe('application/problem+json');
      expect(answer.body.code).toBe('not-found');
    },
  );
});

describe('If-None-Match', () => {
  const paths = () => [`/v1/orders/${order.id}`, `/v1/orders/${order.id}?version=1`, `/v1/users/${user.id}`];

  it.each(['"1"', 'W/"1"', '*', '"0", "1"', '"0",W/"1"'])(
    '%s that names the version gives 304',
    async (tags) => {
      for (const path of paths()) {
        for (const method of ['get', 'head'] as const) {
          const answer = await service.send(method, path).set('If-None-Match', tags).expect(304);
          expect(answer.get('ETag')).toBe('"1"');
          expect(answer.text).toBeFalsy();
        }
      }
    },
  );

  it.each(['"2"', '1', '"11"', '""', 'garbage'])('%s that does not gives the answer', async (tags) => {
    for (const path of paths()) {
      const answer = await service.send('get', path).set('If-None-Match', tags).expect(200);
      expect(answer.get('ETag')).toBe('"1"');
      expect(answer.body.version).toBe(1);
    }
  });

  it('goes by the version that is asked for', async () => {
    const { id } = await placeOrder(service, user.id);
    await patchOrder(id, '"1"').send({ note: 'two' }).expect(200).expect('ETag', '"2"');
    const get = (query: string) =>
      service.send('get', `/v1/orders/${id}${query}`).set('If-None-Match', '"1"');
    await get('').expect(200).expect('ETag', '"2"');
    await get('?version=1').expect(304).expect('ETag', '"1"');
    await get('?version=2').expect(200).expect('ETag', '"2"');
  });

  it('means nothing to a write', async () => {
    const { id } = await placeOrder(service, user.id);
    await patchOrder(id, '"1"').set('If-None-Match', '*').send({ note: 'x' }).expect(200);
  });
});

describe('If-Match', () => {
  const note = { note: 'changed' };

  it('is required on PATCH', async () => {
    const refused = await patchOrder(order.id).send(note).expect(428);
    expect(refused.body.code).toBe('precondition-required');
    const patch = await service.send('patch', `/v1/users/${user.id}`).send({ name: 'Ada' }).expect(428);
    expect(patch.body.code).toBe('precondition-required');
  });

  it.each(['"2"', '"0"', 'W/"1"', '"01"', '"2", W/"1"', '""'])(
    '%s does not match version 1',
    async (tags) => {
      const { id } = await placeOrder(service, user.id);
      const refused = await patchOrder(id, tags).send(note).expect(412);
      expect(refused.body).toMatchObject({ code: 'version-mismatch', currentVersion: 1 });
      expect(refused.get('ETag')).toBe('"1"');
      const cancel = await service.send('post', `/v1/orders/${id}/cancel`).set('If-Match', tags).expect(412);
      expect(cancel.body).toMatchObject({ code: 'version-mismatch', currentVersion: 1 });
      const read = await service.send('get', `/v1/orders/${id}`).expect(200);
      expect(read.body).toMatchObject({ version: 1, note: null, status: 'placed' });
    },
  );

  it.each(['"1"', '*', ' * ', '"0", "1"', '"1","2"', 'W/"1", "1"'])('%s matches version 1', async (tags) => {
    const { id } = await placeOrder(service, user.id);
    const patched = await patchOrder(id, tags).send(note).expect(200);
    expect(patched.body).toMatchObject({ version: 2, ...note });
    const other = await placeOrder(service, user.id);
    const cancel = service.send('post', `/v1/orders/${other.id}/cancel`).set('If-Match', tags);
    await cancel.expect(200).expect('ETag', '"2"');
  });

  it('lets one of two writers through', async () => {
    const { id } = await placeOrder(service, user.id);
    const patches = ['a', 'b', 'c', 'd'].map((text) => patchOrder(id, '"1"').send({ note: text }));
    const answers: Response[] = await Promise.all(patches);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412]);
  });
});

describe('checks come in their order', () => {
  const cancel = (id: string) => service.send('post', `/v1/orders/${id}/cancel`);

  it('route, media type, accept, body, sign-in, permission, query, validation, existence, precondition, state', async () => {
    const auditor = await createPerson(service, 'auditor');
    const expectCode = async (sent: request.Test, code: string) => {
      expect((await sent).body.code).toBe(code);
    };
    const unknown = `/v1/orders/${UNKNOWN_ID}`;
    const rawOf =
      (caller: Pick<TestService, 'send'>) => (path: string, type: string, accept: string, body: string) =>
        caller.send('patch', path).type(type).set('Accept', accept).send(body);
    const [raw, ofAuditor, ofNobody] = [
      rawOf(service),
      rawOf(service.as(auditor.accessToken)),
      rawOf(service.as(undefined)),
    ] as const;
    // Until the body is read nobody is asked who they are.
    for (const each of [raw, ofAuditor, ofNobody]) {
      await expectCode(each('/v1/nothing', 'text/plain', 'text/html', '{'), 'not-found');
      await expectCode(each('/v1/orders?x=1', 'text/plain', 'text/html', '{'), 'method-not-allowed');
      await expectCode(each(`${unknown}?x=1`, 'text/plain', 'text/html', '{'), 'unsupported-media-type');
      await expectCode(each(`${unknown}?x=1`, 'application/json', 'text/html', '{'), 'not-acceptable');
      await expectCode(each(`${unknown}?x=1`, 'application/json', '*/*', '{'), 'malformed-request');
    }
    for (const body of ['{}', '{"note": 1}']) {
      await expectCode(ofNobody(`${unknown}?x=1`, 'application/json', '*/*', body), 'unauthenticated');
      await expectCode(ofAuditor(`${unknown}?x=1`, 'application/json', '*/*', body), 'forbidden');
    }
    await expectCode(raw(`${unknown}?x=1`, 'application/json', '*/*', '{}'), 'unknown-parameter');
    await expectCode(raw(unknown, 'application/json', '*/*', '{"note": 1}'), 'validation-failed');
    await expectCode(raw(unknown, 'application/json', '*/*', '{}'), 'not-found');
    await expectCode(raw(`/v1/orders/${order.id}`, 'application/json', '*/*', '{}'), 'precondition-required');

    const { id } = await placeOrder(service, user.id);
    await cancel(id).expect(200);
    await expectCode(cancel(id).set('If-Match', '"1"'), 'version-mismatch');
    await expectCode(cancel(id).set('If-Match', '"2"'), 'illegal-transition');
  });

  it('sign-in and permission come before a replay', async () => {
    const { id } = await placeOrder(service, user.id);
    const key = randomUUID();
    await cancel(id).set('Idempotency-Key', key).expect(200);
    const auditor = await createPerson(service, 'auditor');
    for (const [token, status] of [
      [undefined, 401],
      [auditor.accessToken, 403],
      [await createKey(service, ['orders:read']), 403],
    ] as const) {
      const again = service.as(token).send('post', `/v1/orders/${id}/cancel`).set('Idempotency-Key', key);
      await again.expect(status);
    }
  });

  it('a replay comes before If-Match and state', async () => {
    const { id } = await placeOrder(service, user.id);
    const key = randomUUID();
    const first = await cancel(id).set('Idempotency-Key', key).set('If-Match', '"1"').expect(200);
    const again = await cancel(id).set('Idempotency-Key', key).set('If-Match', '"1"').expect(200);
    expect(again.text).toBe(first.text);
    expect(again.get('Idempotency-Replayed')).toBe('true');
    expect(again.get('ETag')).toBe('"2"');
    await cancel(id).set('Idempotency-Key', randomUUID()).expect(409);
  });

  it('a replay answers what was answered first, though the order has moved on', async () => {
    const key = randomUUID();
    const place = () =>
      service
        .send('post', '/v1/orders')
        .set('Idempotency-Key', key)
        .send({ userId: user.id, currency: 'EUR', lines });
    const first = await place().expect(201);
    await patchOrder(first.body.id as string, '*')
      .send({ note: 'later' })
      .expect(200);
    const again = await place().expect(201).expect('ETag', '"1"').expect('Idempotency-Replayed', 'true');
    expect([again.text, again.get('Location')]).toEqual([first.text, first.get('Location')]);
  });
});

describe('headers of answers', () => {
  it('keep answers out of shared caches, failures too', async () => {
    for (const [path, status] of [
      ['/v1/users', 200],
      [`/v1/orders/${order.id}`, 200],
      [`/v1/orders/${UNKNOWN_ID}`, 404],
      ['/v1/orders?x=1', 400],
    ] as const) {
      const answer = await service.send('get', path).expect(status);
      expect(answer.get('Cache-Control')).toBe('private, no-cache');
      expect(answer.get('Vary')).toMatch(/\bAuthorization\b/);
    }
    const nobody = await service.as(undefined).send('get', '/v1/users').expect(401);
    expect(nobody.get('Cache-Control')).toBe('private, no-cache');
    expect(nobody.get('Vary')).toMatch(/\bAuthorization\b/);
  });

  it('keep what has to do with sign-in out of every cache', async () => {
    const { user, accessToken, refreshToken } = await createPerson(service);
    const login = { email: user.email, password: 'a wrong one' };
    for (const [path, body, status] of [
      ['login', login, 401],
      ['login', {}, 422],
      ['refresh', { refreshToken }, 200],
      ['nothing', {}, 404],
      ['logout', {}, 204],
    ] as const) {
      const answer = await service.as(accessToken).send('post', `/v1/auth/${path}`).send(body).expect(status);
      expect(answer.get('Cache-Control')).toBe('no-store');
    }
  });

  it('are hardened and tell nothing about the software', async () => {
    for (const path of ['/v1/users', '/v1/nothing', '/docs', '/problems/internal', '/health/live']) {
      const answer = await request(service.url).get(path);
      expect(answer.get('X-Powered-By')).toBeUndefined();
      expect(answer.get('Server')).toBeUndefined();
      expect(answer.get('X-Content-Type-Options')).toBe('nosniff');
      expect(answer.get('X-Frame-Options')).toBe('SAMEORIGIN');
      expect(answer.get('Strict-Transport-Security')).toMatch(/^max-age=\d+/);
      expect(answer.get('Content-Security-Policy')).toMatch(/default-src 'self'/);
    }
  });

  it('Express makes no ETag of its own', async () => {
    for (const path of ['/v1/users', '/problems/internal', '/docs-json', '/health/live']) {
      const answer = await request(service.url).get(path).auth(service.adminToken, { type: 'bearer' });
      expect([answer.status, answer.get('ETag')]).toEqual([200, undefined]);
    }
  });

  it('the root leads to the documentation', async () => {
    await request(service.url).get('/').expect(302).expect('Location', '/docs');
  });
});

describe('compression', () => {
  /** The answer as it went over the wire. */
  async function wire(
    path: string,
    encoding: string,
  ): Promise<{ encoding: string; vary: string; size: number }> {
    const headers = { 'Accept-Encoding': encoding, Authorization: `Bearer ${service.adminToken}` };
    const sent = httpGet(service.url + path, { headers });
    const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
    const chunks = (await response.toArray()) as Buffer[];
    return {
      encoding: response.headers['content-encoding'] ?? 'none',
      vary: response.headers.vary ?? '',
      size: Buffer.concat(chunks).length,
    };
  }

  it('shrinks a large answer as the client likes it', async () => {
    const { id } = await placeOrder(service, user.id, { note: 'x'.repeat(2_000) });
    const plain = await wire(`/v1/orders/${id}`, 'identity');
    expect(plain).toMatchObject({ encoding: 'none' });
    expect(plain.size).toBeGreaterThan(2_000);
    for (const encoding of ['gzip', 'br']) {
      const small = await wire(`/v1/orders/${id}`, encoding);
      expect(small.encoding).toBe(encoding);
      expect(small.vary).toMatch(/\bAccept-Encoding\b/);
      expect(small.size).toBeLessThan(1_500);
      const answer = await service
        .send('get', `/v1/orders/${id}`)
        .set('Accept-Encoding', encoding)
        .expect(200);
      expect(answer.get('ETag')).toBe('"1"');
    }
  });

  it('leaves a small answer alone', async () => {
    expect((await wire(`/v1/users/${user.id}`, 'gzip')).encoding).toBe('none');
  });
});

describe('CORS', () => {
  const ORIGIN = 'https://shop.example';
  const preflight = (target: TestService, origin: string) =>
    request(target.url)
      .options('/v1/orders')
      .set({ Origin: origin, 'Access-Control-Request-Method': 'POST' })
      .set('Access-Control-Request-Headers', 'authorization,content-type,idempotency-key');
  const corsHeaders = (response: Response) =>
    Object.keys(response.headers as object).filter((name) => name.startsWith('access-control-'));

  it('is off by default', async () => {
    const answer = await service.send('get', '/v1/users').set('Origin', ORIGIN).expect(200);
    expect(corsHeaders(answer)).toEqual([]);
    expect(corsHeaders(await preflight(service, ORIGIN).expect(405))).toEqual([]);
  });

  it('is on for the configured origins alone', async () => {
    const open = await startService({ CORS_ORIGINS: [ORIGIN, 'https://admin.example'] });
    try {
      const allowed = await preflight(open, ORIGIN).expect(204);
      expect(allowed.get('Access-Control-Allow-Origin')).toBe(ORIGIN);
      expect(allowed.get('Access-Control-Allow-Methods')).toMatch(/\bPATCH\b/);
      expect(allowed.get('Access-Control-Allow-Headers')).toBe('authorization,content-type,idempotency-key');
      const answer = await open.send('get', '/v1/users').set('Origin', ORIGIN).expect(200);
      expect(answer.get('Access-Control-Allow-Origin')).toBe(ORIGIN);
      expect(answer.get('Access-Control-Expose-Headers')).toMatch(/ETag.*Link.*Location.*X-Request-Id/);
      expect(answer.get('Access-Control-Expose-Headers')).toMatch(/RateLimit.*WWW-Authenticate/);
      expect(answer.get('Vary')).toMatch(/\bOrigin\b/);
      const failure = await open.send('get', '/v1/nothing').set('Origin', ORIGIN).expect(404);
      expect(failure.get('Access-Control-Allow-Origin')).toBe(ORIGIN);
      for (const origin of [
        'https://evil.example',
        'https://shop.example.evil.example',
        'http://shop.example',
        'null',
      ]) {
        const refused = await open.send('get', '/v1/users').set('Origin', origin).expect(200);
        expect(refused.get('Access-Control-Allow-Origin')).toBeUndefined();
        expect((await preflight(open, origin)).get('Access-Control-Allow-Origin')).toBeUndefined();
      }
    } finally {
      await open.stop();
    }
  });
});

/** Sends the request now: by itself supertest waits until somebody awaits it. */
async function sent(test: request.Test): Promise<Response> {
  return test;
}

/** The service's own connections to its database. */
const BACKENDS = `FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ordo'`;

/** Does the work while another connection holds the order's row. */
async function whileLocked(database: TestDatabase, id: string, work: () => Promise<unknown>): Promise<void> {
  const client = await database.connect(database.superuserUrl);
  await client.query('BEGIN');
  await client.query('SELECT FROM orders WHERE id = $1 FOR UPDATE', [id]);
  try {
    await work();
  } finally {
    await client.end();
  }
}

describe('when others hold a lock', () => {
  it('a request that takes too long is answered with 504, and the service goes on', async () => {
    const slow = await startService({ REQUEST_TIMEOUT_MS: 1_500 });
    const { id } = await placeOrder(slow, (await createUser(slow)).id);
    const patch = (note: string) =>
      slow.send('patch', `/v1/orders/${id}`).set('If-Match', '*').send({ note });
    await whileLocked(slow.database, id, async () => {
      const answers = await Promise.all(['a', 'b', 'c'].map(async (note) => patch(note).expect(504)));
      for (const { body } of answers) expect(body).toMatchObject({ code: 'timeout', status: 504 });
      await slow.send('get', `/v1/orders/${id}`).expect(200);
    });
    await patch('at last').expect(200);
    await slow.stop();
  });

  it('a statement that is cancelled is answered with 504', async () => {
    const { id } = await placeOrder(service, user.id);
    await whileLocked(service.database, id, async () => {
      const answered = sent(patchOrder(id, '*').send({ note: 'x' }).expect(504));
      const cancelled = eventually(async () => {
        const sql = `SELECT pg_cancel_backend(pid) ${BACKENDS} AND wait_event_type = 'Lock'`;
        expect(await service.database.query(sql)).toHaveLength(1);
      });
      const [{ body }] = await Promise.all([answered, cancelled]);
      expect(body.code).toBe('timeout');
    });
    await patchOrder(id, '"1"').send({ note: 'x' }).expect(200);
  });

  it('a lock that outlasts the patience of the database is answered with 503 and Retry-After', async () => {
    await service.database.query(
      `DO $$ BEGIN
         EXECUTE format('ALTER ROLE ordo_app IN DATABASE %I SET lock_timeout = 200', current_database());
       END $$`,
    );
    // The setting holds for new connections.
    await service.database.query(`SELECT pg_terminate_backend(pid) ${BACKENDS}`);
    await eventually(async () => service.send('get', '/v1/users').expect(200));
    const { id } = await placeOrder(service, user.id);
    await whileLocked(service.database, id, async () => {
      const answers = await Promise.all([
        patchOrder(id, '*').send({ note: 'x' }).expect(503),
        service.send('post', `/v1/orders/${id}/cancel`).expect(503),
      ]);
      for (const answer of answers) {
        expect(answer.body.code).toBe('unavailable');
        expect(answer.get('Retry-After')).toBe('1');
      }
    });
    await patchOrder(id, '"1"').send({ note: 'x' }).expect(200);
  });
});

describe('when the database goes away', () => {
  let shaken: TestService;
  let buyer: UserBody;
  let admin: pg.Client;
  let name: string;

  beforeAll(async () => {
    shaken = await startService();
    buyer = await createUser(shaken);
    const url = new URL(shaken.database.superuserUrl);
    name = url.pathname.slice(1);
    url.pathname = '/postgres';
    admin = await shaken.database.connect(url.href);
  });
  afterAll(() => shaken.stop());

  const place = (key: string) =>
    shaken
      .send('post', '/v1/orders')
      .set('Idempotency-Key', key)
      .send({ userId: buyer.id, currency: 'EUR', lines, reference: key });
  const terminate = () =>
    admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, [name]);

  it('for a moment, requests get their answer or 503, and retries place each order once', async () => {
    const keys = Array.from({ length: 20 }, () => randomUUID());
    const statuses = new Set<number>();
    for (let round = 0; round < 8; round++) {
      const racing = keys.map(async (key) => {
        const answer = await place(key);
        if (answer.status === 503) expect(answer.get('Retry-After')).toMatch(/^\d+$/);
        return answer.status;
      });
      const reading = keys.map(async () => (await shaken.send('get', '/v1/orders?limit=5')).status);
      for (let kill = 0; kill < 5; kill++) await terminate();
      for (const status of await Promise.all([...racing, ...reading])) statuses.add(status);
    }
    expect([...statuses].filter((status) => ![200, 201, 503].includes(status))).toEqual([]);
    for (const key of keys) await eventually(async () => place(key).expect(201));
    const rows = await shaken.database.query<Record<string, number>>(
      `SELECT count(*)::int AS orders, count(DISTINCT reference)::int AS placements,
              (SELECT count(*)::int FROM order_lines) AS lines,
              (SELECT count(*)::int FROM audit_events WHERE action = 'order.placed') AS events,
              (SELECT count(*)::int FROM idempotency_keys) AS keys FROM orders`,
    );
    expect(rows).toEqual([{ orders: 20, placements: 20, lines: 40, events: 20, keys: 20 }]);
  });

  it('for longer, everything but the liveness probe says so, and recovers by itself', async () => {
    await admin.query(`ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS false`);
    await terminate();
    try {
      await eventually(async () => shaken.send('get', '/v1/orders').expect(503));
      for (const answer of [
        await shaken.send('get', `/v1/users/${buyer.id}`).expect(503),
        await shaken.send('get', '/v1/audit/events').expect(503),
        await place(randomUUID()).expect(503),
        await shaken.send('post', '/v1/users').send({ name: 'Ada', email: 'away@example.com' }).expect(503),
      ]) {
        expect(answer.body.code).toBe('unavailable');
        expect(answer.get('Retry-After')).toBe('1');
        expect(answer.text).not.toMatch(/127\.0\.0\.1|localhost|postgres|ordo_|test_/i);
      }
      await shaken.send('get', '/health/live').expect(200);
      const ready = await shaken.send('get', '/health/ready').expect(503);
      expect(ready.body).toMatchObject({ status: 'error', error: { database: { status: 'down' } } });
      expect(ready.text).not.toMatch(/127\.0\.0\.1|localhost|postgres|ordo_|test_|:\d{4,5}/i);
    } finally {
      await admin.query(`ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS true`);
    }
    await eventually(async () => shaken.send('get', '/health/ready').expect(200));
    await place(randomUUID()).expect(201);
    const email = await shaken.send('get', '/v1/users?email=away@example.com').expect(200);
    expect(email.body.data).toEqual([]);
  });
});

describe('what operators see', () => {
  interface Line {
    readonly msg?: string;
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly durationMs: number;
    readonly requestId: string;
    readonly actor: object;
    readonly aborted?: boolean;
  }

  let database: TestDatabase;
  let folder: string;
  let remove: () => Promise<void>;
  let running: ServiceProcess;
  let url: string;
  let token: string;
  let metricsUrl: string;

  beforeAll(async () => {
    database = await createDatabase();
    ({ folder, remove } = await createFolder());
    const port = await freePort();
    metricsUrl = `http://127.0.0.1:${port}/metrics`;
    running = startProcess(folder, {
      DATABASE_URL: database.serviceUrl,
      ORDO_SECRET: 'a secret of the tests, 32 characters or more',
      HOST: '127.0.0.1',
      METRICS_PORT: String(port),
    });
    url = await running.listening();
    token = await tokenOf(url, printedAdmin(running));
  });
  afterAll(async () => {
    running.process.kill('SIGTERM');
    expect(await running.exited()).toBe(0);
    await database.drop();
    await remove();
  });

  async function freePort(): Promise<number> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return port;
  }

  const requestLines = () =>
    running.lines
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Line)
      .filter(({ msg }) => msg === 'request');

  /** The one line about the request. */
  const lineOf = (response: Response) =>
    eventually(async () => {
      const found = requestLines().filter(({ requestId }) => requestId === response.get('X-Request-Id'));
      expect(found).toHaveLength(1);
      return found[0];
    });

  const metric = async (name: string, labels = ''): Promise<number> => {
    const text = await (await fetch(metricsUrl)).text();
    const line = text.split('\n').find((each) => each.startsWith(`${name}${labels} `));
    return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(' ')));
  };

  /** A request of the admin. */
  const send = (method: 'get' | 'post' | 'delete', path: string) =>
    request(url)[method](path).auth(token, { type: 'bearer' });

  it('one line per request: what, how it ended, how long it took, who, and nothing personal', async () => {
    const email = 'somebody.secret@example.com';
    const me = (await send('get', '/v1/users/me')).body as UserBody;
    const created = await send('post', '/v1/users')
      .set('Idempotency-Key', 'secret-key')
      .send({ name: 'Secret Name', email, password: 'secret password' });
    const { id } = created.body as UserBody;
    const answers = [
      [created, 'POST', '/v1/users', 201],
      [await send('get', `/v1/users?email=${email}`), 'GET', '/v1/users', 200],
      [await send('get', `/v1/users/${id}`), 'GET', '/v1/users/{id}', 200],
      [await send('post', '/v1/users').send({ name: 'Secret Name', email }), 'POST', '/v1/users', 409],
      [await send('get', `/v1/orders/${id}/events`), 'GET', '/v1/orders/{id}/events', 404],
    ] as const;
    const login = { email, password: 'secret password' };
    const post = (path: string) => request(url).post(path);
    const strangers = [
      [await post('/v1/auth/login').send(login), 'POST', '/v1/auth/login', 200],
      [await post('/v1/auth/login').send({ ...login, password: 'secret' }), 'POST', '/v1/auth/login', 401],
      [await post('/v1/auth/refresh').send({ refreshToken: 'secret' }), 'POST', '/v1/auth/refresh', 401],
      [await post('/v1/users').send('{"secret'), 'POST', '/v1/users', 415],
      [await request(url).get(`/v1/users/${id}/secret?email=${email}`), 'GET', 'unmatched', 404],
      [await request(url).delete(`/v1/users/${id}`), 'DELETE', 'unmatched', 405],
      [await request(url).get(`/v1/users/${id}`), 'GET', '/v1/users/{id}', 401],
      [await request(url).get('/v1/users').auth('secret-token', { type: 'bearer' }), 'GET', '/v1/users', 401],
    ] as const;
    for (const [actor, [answer, method, route, status]] of [
      ...answers.map((each) => [{ type: 'user', id: me.id }, each] as const),
      ...strangers.map((each) => [{ type: 'anonymous', id: null }, each] as const),
    ]) {
      const line = await lineOf(answer);
      expect(line).toMatchObject({ method, route, status, actor });
      expect(line?.durationMs).toBeGreaterThan(0);
      expect(line?.aborted).toBeUndefined();
    }
    const log = running.lines.filter((line) => !line.startsWith('Sign in as ')).join('\n');
    expect(log).not.toMatch(/secret|somebody|example\.com/i);
    expect(log).not.toContain(id);
    for (const part of token.split('.')) expect(log).not.toContain(part);
  });

  it('a request whose client went away is logged too', async () => {
    const requestId = randomUUID();
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
    socket.write(
      `POST /v1/users HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${requestId}\r\n` +
        'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name": "secret',
    );
    await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(1));
    socket.resetAndDestroy();
    const line = await eventually(async () => {
      const found = requestLines().filter((each) => each.requestId === requestId);
      expect(found).toHaveLength(1);
      return found[0];
    });
    expect(line).toMatchObject({ method: 'POST', route: '/v1/users', status: 499, aborted: true });
    await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(0));
  });

  it('a failure of the database is logged without its messages', async () => {
    const client = await database.connect(database.superuserUrl);
    await client.query(`ALTER TABLE users ADD CONSTRAINT refuse CHECK (name <> 'Secret Person') NOT VALID`);
    const answer = await send('post', '/v1/users').send({
      name: 'Secret Person',
      email: 'p@secret.example',
    });
    expect([answer.status, answer.body.code]).toEqual([500, 'internal']);
    expect(answer.text).not.toMatch(/refuse|users|constraint/i);
    const line = await lineOf(answer);
    expect(line).toMatchObject({ status: 500, err: { sqlState: '23514', constraint: 'refuse' } });
    expect(running.lines.join('\n')).not.toMatch(/secret/i);
  });

  it('metrics on a port of their own: durations by route pattern, requests in flight, the pool', async () => {
    const labels = '{method="GET",route="/v1/orders/{id}",status="404"}';
    const before = await metric('http_request_duration_seconds_count', labels);
    for (let each = 0; each < 3; each++) await send('get', `/v1/orders/${randomUUID()}`).expect(404);
    await eventually(async () => {
      expect(await metric('http_request_duration_seconds_count', labels)).toBe(before + 3);
      expect(await metric('http_requests_in_flight')).toBe(0);
      expect(await metric('database_pool_connections', '{state="used"}')).toBe(0);
    });
    expect(await metric('database_pool_connections', '{state="idle"}')).toBeGreaterThan(0);
    const answer = await fetch(metricsUrl);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await answer.text()).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}|@/);
    await request(url).get('/metrics').expect(404);
    expect((await fetch(new URL('/', metricsUrl))).status).toBe(404);
  });

  it('a pool that is used up shows in the metrics', async () => {
    const { id } = await placeOrder(service, user.id);
    const metrics = service.app.get(Metrics);
    const waiting: Promise<Response>[] = [];
    await whileLocked(service.database, id, async () => {
      for (let each = 0; each < 12; each++) waiting.push(sent(patchOrder(id, '*').send({ note: 'x' })));
      await eventually(async () => {
        expect(await metrics.registry.metrics()).toMatch(/^database_pool_connections\{state="used"\} 10$/m);
      });
    });
    await Promise.all(waiting);
    await eventually(async () => {
      expect(await metrics.registry.metrics()).toMatch(/^database_pool_connections\{state="used"\} 0$/m);
    });
  });
});
