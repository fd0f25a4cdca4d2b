import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from './support/database.js';
import {
  createFolder,
  eventually,
  freePort,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from './support/process.js';

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };
const MOST = 20;

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
let service: ServiceProcess;
let url: string;
let metricsUrl: string;
let token: string;
let id: string;

beforeAll(async () => {
  database = await createDatabase();
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

const get = (path: string) => fetch(url + path, { headers: { Authorization: `Bearer ${token}` } });

/** Changes the caller's name, in whatever version. */
const rename = (number: number) =>
  fetch(`${url}/v1/users/${id}`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', 'If-Match': '*' },
    body: JSON.stringify({ name: `Ada ${number}` }),
  });

it('refuses at once what is too much, answers probes, and goes on when those under way are done', async () => {
  const holder = await database.connect(database.superuserUrl);
  await holder.query('BEGIN');
  await holder.query('SELECT FROM users FOR UPDATE');
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
  await holder.query('COMMIT');
  await holder.end();

  await Promise.all(answers);
  const expected = Array.from({ length: MOST + 10 }, (_, index) => (index < 10 ? 503 : 200));
  expect(statuses).toEqual(expected);
  expect((await get('/v1/users/me')).status).toBe(200);
  const refused = Number(
    /^http_requests_refused_total (\d+)$/m.exec(await (await fetch(metricsUrl)).text())?.[1],
  );
  expect(refused).toBe(11);
  await eventually(async () =>
    expect(service.lines.join('\n')).toContain('Overloaded: requests were refused'),
  );
});

it('is not filled by those who send their bodies slowly', async () => {
  const { port } = new URL(url);
  const half =
    `PATCH /v1/users/${id} HTTP/1.1\r\nHost: ordo\r\nAuthorization: Bearer ${token}\r\nIf-Match: *\r\n` +
    `Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`;
  const sockets = await Promise.all(
    Array.from({ length: 2 * MOST }, async (): Promise<Socket> => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      socket.write(half);
      return socket;
    }),
  );
  const inFlight = async () =>
    /^http_requests_in_flight (\d+)$/m.exec(await (await fetch(metricsUrl)).text())?.[1];
  await eventually(async () => expect(await inFlight()).toBe(String(2 * MOST)));
  expect((await get('/v1/users/me')).status).toBe(200);
  for (const socket of sockets) socket.destroy();
  await eventually(async () => expect(await inFlight()).toBe('0'));
  // Those who left halfway have left nothing behind.
  expect(
    (await Promise.all(Array.from({ length: MOST }, () => get('/v1/users/me')))).map(({ status }) => status),
  ).toEqual(Array.from({ length: MOST }, () => 200));
});
