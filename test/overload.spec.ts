import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { Drain } from '../src/http/drain.js';
import { shutDown } from '../src/http/shutdown.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import {
  createFolder,
  eventually,
  freePort,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from './support/process.js';
import { startService } from './support/service.js';

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };
const MOST = 20;
const ORIGIN = 'https://shop.example';
const BODY = '{"name":"Ada"}';

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
let service: ServiceProcess;
let url: string;
let metricsUrl: string;
let token: string;
let id: string;
let holder: Awaited<ReturnType<TestDatabase['connect']>> | undefined;

beforeAll(async () => {
  database = await createDatabase();
  // Who waits for a lock waits until the test lets go of it.
  await database.query(
    `DO $$ BEGIN
       EXECUTE format('ALTER ROLE ordo_app IN DATABASE %I SET lock_timeout = 60000', current_database());
     END $$`,
  );
  folder = await createFolder();
  const port = await freePort();
  metricsUrl = `http://127.0.0.1:${port}/metrics`;
  service = startProcess(folder.folder, {
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    ADMIN_PASSWORD: ADMIN.password,
    HOST: '127.0.0.1',
    METRICS_PORT: String(port),
    MAX_CONCURRENT_REQUESTS: String(MOST),
    DATABASE_POOL_SIZE: String(2 * MOST),
    CORS_ORIGINS: ORIGIN,
  });
  url = await service.listening();
  token = await tokenOf(url, ADMIN);
  ({ id } = (await (await get('/v1/users/me')).json()) as { id: string });
});
afterAll(async () => {
  service.process.kill('SIGTERM');
  expect(await service.exited()).toBe(0);
  await database.drop();
  await folder.remove();
});

afterEach(async () => {
  await unlockUsers();
  await eventually(fillPlaces);
});

const get = (path: string, headers = {}) =>
  fetch(url + path, { headers: { Authorization: `Bearer ${token}`, ...headers } });

/** Changes the caller's name, in whatever version. */
const rename = (number: number, signal?: AbortSignal) =>
  fetch(`${url}/v1/users/${id}`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'If-Match': '*' },
    body: JSON.stringify({ name: `Ada ${number}` }),
    ...(signal && { signal }),
  });

const reading = () => `GET /v1/users/me HTTP/1.1\r\nHost: ordo\r\nAuthorization: Bearer ${token}\r\n\r\n`;

/** The head of the same request, to be sent by hand with `BODY`. */
const renaming = () =>
  `PATCH /v1/users/${id} HTTP/1.1\r\nHost: ordo\r\nAuthorization: Bearer ${token}\r\nIf-Match: *\r\n` +
  `Content-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n`;

/** Keeps all changes of users waiting. */
async function lockUsers(): Promise<void> {
  await unlockUsers();
  holder = await database.connect(database.superuserUrl);
  await holder.query('BEGIN');
  await holder.query('SELECT FROM users FOR UPDATE');
}

async function unlockUsers(): Promise<void> {
  await holder?.end();
  holder = undefined;
}

/** As many requests as there are places, all at once. */
async function fillPlaces(): Promise<void> {
  const answers = await Promise.all(Array.from({ length: MOST }, () => get('/v1/users/me')));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: MOST }, () => 200));
}

/** Takes all places with changes that wait for a lock, and returns their answers. */
async function takeAllPlaces(signal?: AbortSignal): Promise<Promise<unknown>[]> {
  let isRefused = false;
  const answers = Array.from({ length: MOST + 1 }, async (_, number) => {
    const { status } = await rename(number, signal);
    isRefused ||= status === 503;
    return status;
  });
  await eventually(async () => expect(isRefused).toBe(true));
  return answers;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(metricsUrl)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

/** Connects, sends what is given, and collects what is answered. */
async function send(text: string, to = url): Promise<{ socket: Socket; answers: () => string }> {
  const socket = connect(Number(new URL(to).port), '127.0.0.1');
  let received = '';
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => (received += chunk.toString()));
  await once(socket, 'connect');
  socket.write(text);
  return { socket, answers: () => received };
}

/** Begins more changes than there are places, and keeps back all of their bodies but the first character. */
async function sendHalves() {
  const senders = await Promise.all(
    Array.from({ length: 2 * MOST }, () => send(renaming() + BODY.slice(0, 1))),
  );
  await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(2 * MOST));
  return senders;
}

it('refuses at once what is too much, answers probes, and goes on when those under way are done', async () => {
  await lockUsers();
  const statuses: number[] = [];
  const answers = Array.from({ length: MOST + 10 }, async (_, number) => {
    const { status } = await rename(number);
    statuses.push(status);
  });
  // All places are taken once those answer that found none.
  await eventually(async () => expect(statuses).toHaveLength(10));
  const refusal = await get('/v1/users/me');
  expect(refusal.status).toBe(503);
  expect(refusal.headers.get('Retry-After')).toBe('1');
  expect(await refusal.json()).toMatchObject({
    code: 'unavailable',
    status: 503,
    instance: `urn:uuid:${refusal.headers.get('X-Request-Id')}`,
  });
  expect((await get('/health/live')).status).toBe(200);
  expect((await get('/health/ready')).status).toBe(200);
  await unlockUsers();

  await Promise.all(answers);
  const expected = Array.from({ length: MOST + 10 }, (_, index) => (index < 10 ? 503 : 200));
  expect(statuses).toEqual(expected);
  expect((await get('/v1/users/me')).status).toBe(200);
  expect(await metric('http_requests_refused_total')).toBe(11);
  await eventually(async () =>
    expect(service.lines.join('\n')).toContain('Overloaded: requests were refused'),
  );
});

/** Connects, and sends a read that is refused. */
async function beRefused() {
  const refused = await send(reading());
  await eventually(async () => expect(refused.answers()).toContain('HTTP/1.1 503'));
  return refused;
}

/** Sends a read over a connection that was just refused, when the service has had the time to read it. */
async function askTooSoon() {
  const refused = await beRefused();
  refused.socket.write(reading());
  const { socket } = await beRefused();
  socket.destroy();
  return { ...refused, second: () => secondStatus(refused.answers()) };
}

/** Is answered over a new connection: what was woken before has been answered by then, and what rests has not. */
async function askAnew() {
  const { socket, answers } = await send(reading());
  await eventually(async () => expect(answers()).toContain('HTTP/1.1 200'));
  socket.destroy();
}

const secondStatus = (answers: string) => answers.split('HTTP/1.1 ')[2]?.slice(0, 3);

it('answers who comes too soon on a connection that was refused once all places are free', async () => {
  // Again where this process was held up for longer than connections rest.
  await eventually(async () => {
    await lockUsers();
    const changes = await takeAllPlaces();
    // They rest longer than who comes too soon, and have nothing to say.
    const polite = await Promise.all(Array.from({ length: 2 * MOST }, beRefused));
    const hasty = await askTooSoon();
    await unlockUsers();
    await Promise.all(changes);
    await askAnew();
    for (const { socket } of [...polite, hasty]) socket.destroy();
    expect(hasty.second()).toBe('200');
  });
});

it('answers those who come too soon when most places are free, while others are held', async () => {
  const keys = await database.connect(database.superuserUrl);
  await eventually(async () => {
    await keys.query('BEGIN');
    await keys.query('LOCK TABLE api_keys');
    const held = get('/v1/api-keys').then(({ status }) => status);
    await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(1));
    await lockUsers();
    const changes = await takeAllPlaces();
    const hasty = await Promise.all(Array.from({ length: MOST / 4 }, askTooSoon));
    await unlockUsers();
    await Promise.all(changes);
    await askAnew();
    for (const { socket } of hasty) socket.destroy();
    await keys.query('ROLLBACK');
    expect(await held).toBe(200);
    expect(hasty.map(({ second }) => second())).toEqual(hasty.map(() => '200'));
  }).finally(() => keys.end());
});

it('refuses who comes too soon when it was to come again, while there is no room', async () => {
  await lockUsers();
  const changes = await takeAllPlaces();
  const hasty = await askTooSoon();
  await eventually(async () => expect(hasty.second()).toBe('503'));
  hasty.socket.destroy();
  await unlockUsers();
  await Promise.all(changes);
});

it('lets a connection rest whose body was refused, too', async () => {
  await eventually(async () => {
    const senders = await sendHalves();
    await lockUsers();
    for (const { socket } of senders) socket.write(BODY.slice(1));
    const refused = () => senders.filter(({ answers }) => answers().startsWith('HTTP/1.1 503'));
    await eventually(async () => expect(refused()).toHaveLength(MOST));
    const [hasty] = refused();
    hasty?.socket.write(reading());
    const { socket } = await beRefused();
    socket.destroy();
    await unlockUsers();
    const changed = () => senders.filter(({ answers }) => answers().startsWith('HTTP/1.1 200'));
    await eventually(async () => expect(changed()).toHaveLength(MOST));
    await askAnew();
    for (const sender of senders) sender.socket.destroy();
    expect(secondStatus(hasty?.answers() ?? '')).toBe('200');
    await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(0));
  });
});

it('lets pages of allowed origins read a refusal, and ask whether they may ask', async () => {
  await lockUsers();
  const answers = await takeAllPlaces();
  const refusal = await get('/v1/users/me', { Origin: ORIGIN });
  expect(refusal.status).toBe(503);
  expect(refusal.headers.get('Access-Control-Allow-Origin')).toBe(ORIGIN);
  expect(refusal.headers.get('Access-Control-Expose-Headers')).toMatch(/Retry-After.*X-Request-Id/);
  expect(refusal.headers.get('Vary')).toMatch(/\bOrigin\b/);
  const others = await get('/v1/users/me', { Origin: 'https://evil.example' });
  expect([others.status, others.headers.get('Access-Control-Allow-Origin')]).toEqual([503, null]);
  const preflight = await fetch(`${url}/v1/users/me`, {
    method: 'OPTIONS',
    headers: { Origin: ORIGIN, 'Access-Control-Request-Method': 'GET' },
  });
  expect([preflight.status, preflight.headers.get('Access-Control-Allow-Origin')]).toEqual([204, ORIGIN]);
  await unlockUsers();
  await Promise.all(answers);
});

it('is not filled by those who send their bodies slowly, nor overrun when they end them together', async () => {
  const senders = await sendHalves();
  expect((await get('/v1/users/me')).status).toBe(200);
  const before = await metric('http_requests_refused_total');
  await lockUsers();
  const statuses = () => senders.map(({ answers }) => answers().slice(0, 'HTTP/1.1 200'.length)).sort();
  const expected = (early: string) =>
    Array.from({ length: 2 * MOST }, (_, index) => (index < MOST ? early : 'HTTP/1.1 503'));
  for (const { socket } of senders) socket.write(BODY.slice(1));
  await eventually(async () => expect(statuses()).toEqual(expected('')));
  expect(await metric('http_requests_refused_total')).toBe(before + MOST);
  await unlockUsers();
  await eventually(async () => expect(statuses()).toEqual(expected('HTTP/1.1 200')));
  for (const { socket } of senders) socket.destroy();
});

it('is left in peace by those who go halfway through a body', async () => {
  const senders = await sendHalves();
  for (const { socket } of senders) socket.destroy();
  await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(0));
  await fillPlaces();
});

it('counts what it still works on for clients who have gone', async () => {
  const version = async () => ((await (await get('/v1/users/me')).json()) as { version: number }).version;
  const before = await version();
  await lockUsers();
  const patience = new AbortController();
  const answers = await takeAllPlaces(patience.signal);
  patience.abort();
  await Promise.allSettled(answers);
  await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(0));
  expect((await get('/v1/users/me')).status).toBe(503);
  await unlockUsers();
  await eventually(async () => expect(await version()).toBe(before + MOST));
});

it('does not count answers that are ready and that nobody fetches', async () => {
  await lockUsers();
  // On one connection the answers come in the order of the requests: all wait for the first.
  const { socket, answers } = await send(renaming() + BODY + reading().repeat(MOST - 1));
  await eventually(async () => expect(await metric('http_requests_in_flight')).toBe(MOST));
  await eventually(async () => expect((await get('/v1/users/me')).status).toBe(200));
  expect(answers()).toBe('');
  await unlockUsers();
  await eventually(async () => expect(answers().match(/HTTP\/1.1 200 /g)).toHaveLength(MOST));
  socket.destroy();
});

it('closes the connection with a refusal, too, while the process shuts down', async () => {
  const small = await startService({ MAX_CONCURRENT_REQUESTS: 1 }, database);
  const ask = () =>
    fetch(`${small.url}/v1/users/me`, { headers: { Authorization: `Bearer ${small.adminToken}` } });
  try {
    await lockUsers();
    const change = small.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({ name: 'Ada' });
    const answer = change.then(({ status }) => status);
    await eventually(async () => expect((await ask()).status).toBe(503));
    small.app.get(Drain).begin();
    const refusal = await ask();
    expect([refusal.status, refusal.headers.get('Connection')]).toEqual([503, 'close']);
    await unlockUsers();
    expect(await answer).toBe(200);
  } finally {
    await unlockUsers();
    await small.stop();
  }
});

it('answers what a connection that rests was sent before the process shuts down', async () => {
  const small = await startService({ MAX_CONCURRENT_REQUESTS: 1 }, database);
  const reading = 'GET /v1/users/me HTTP/1.1\r\nHost: ordo\r\n\r\n';
  try {
    await lockUsers();
    const change = small.send('patch', `/v1/users/${id}`).set('If-Match', '*').send({ name: 'Ada' });
    const changed = change.then(({ status }) => status);
    const refused = await eventually(async () => {
      const asked = await send(reading, small.url);
      await eventually(async () => expect(asked.answers()).not.toBe(''));
      expect(asked.answers()).toContain('HTTP/1.1 503');
      return asked;
    });
    refused.socket.write(reading);
    const stopped = shutDown(small.app, 0, 10_000);
    await eventually(async () => expect(secondStatus(refused.answers())).toBe('503'));
    await unlockUsers();
    expect(await changed).toBe(200);
    await stopped;
  } finally {
    await unlockUsers();
    await small.stop();
  }
});
