import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { access, readFile, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { lines } from '../support/samples.js';
import {
  createFolder,
  eventually,
  postmasterOf,
  printedAdmin,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from '../support/process.js';

const SECRET = 'a secret of the tests, 32 characters or more';
const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };

let database: TestDatabase;
let folder: string;
let remove: () => Promise<void>;
const started: ServiceProcess[] = [];

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  ({ folder, remove } = await createFolder());
});
afterEach(async () => {
  for (const service of started.splice(0)) {
    service.process.kill('SIGTERM');
    await service.exited();
  }
  await remove();
});

/** Where the database of its own is not the point: the run's, which is there already. */
function withDatabase(): Record<string, string> {
  return {
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: SECRET,
    HOST: '127.0.0.1',
    ADMIN_PASSWORD: ADMIN.password,
  };
}

async function squat(): Promise<{ squatter: Server; port: number }> {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  return { squatter, port: (squatter.address() as AddressInfo).port };
}

function start(environment: Record<string, string> = {}): ServiceProcess {
  const service = startProcess(folder, environment);
  started.push(service);
  return service;
}

/** A service that runs, and the token of somebody who is signed in. */
interface Running {
  readonly url: string;
  readonly token: string;
}

async function send(
  { url, token }: Running,
  path: string,
  body: object,
): Promise<{ status: number; body: { id: string } }> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Idempotency-Key': randomUUID(),
      Authorization: `Bearer ${token}`,
    },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as { id: string } };
}

async function placeOrder(running: Running): Promise<string> {
  const user = await send(running, '/v1/users', { name: 'Ada', email: `${randomUUID()}@example.com` });
  const order = await send(running, '/v1/orders', { userId: user.body.id, currency: 'EUR', lines });
  if (order.status !== 201) throw new Error(`${order.status}: ${JSON.stringify(order.body)}`);
  return order.body.id;
}

/** Two users with one address, by all ways that lead there. */
async function takeAnAddressTwice(running: Running): Promise<void> {
  const taken = { name: 'Ada', email: 'canary@example.com' };
  expect((await send(running, '/v1/users', taken)).status).toBe(201);
  expect((await send(running, '/v1/users', taken)).status).toBe(409);
  const registration = { ...taken, password: 'the canary of a password' };
  expect((await send(running, '/v1/auth/register', registration)).status).toBe(409);
  const other = await send(running, '/v1/users', { name: 'Ada', email: 'other@example.com' });
  const patched = await fetch(`${running.url}/v1/users/${other.body.id}`, {
    method: 'PATCH',
    headers: {
      'Content-Type': 'application/json',
      'If-Match': '*',
      Authorization: `Bearer ${running.token}`,
    },
    body: JSON.stringify({ email: taken.email }),
  });
  expect(patched.status).toBe(409);
}

async function statusOf(url: string, token?: string): Promise<number> {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  return (await fetch(url, { headers })).status;
}

describe('without any configuration', () => {
  it('starts with a database of its own, finds the data again, and loses no acknowledged order to kill -9', async () => {
    const first = start();
    const url = await first.listening();
    expect(await statusOf(`${url}/health/startup`)).toBe(200);
    const root = await fetch(url, { redirect: 'manual' });
    expect([root.status, root.headers.get('location')]).toEqual([302, '/docs']);
    expect(await statusOf(`${url}/docs`)).toBe(200);
    const admin = printedAdmin(first);
    expect(admin.email).toBe('admin@example.com');
    const token = await tokenOf(url, admin);
    const order = await placeOrder({ url, token });

    const databaseUrl = (await readFile(join(folder, '.ordo/database-url'), 'utf8')).trim();
    expect((await stat(join(folder, '.ordo/database-url'))).mode & 0o777).toBe(0o600);
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    const { rows } = await client.query('SELECT rolsuper FROM pg_roles WHERE rolname = current_user');
    expect(rows).toEqual([{ rolsuper: true }]);
    await client.end();

    await takeAnAddressTwice({ url, token });
    expect(await readFile(join(folder, '.ordo/postgres.log'), 'utf8')).not.toContain('canary');

    first.process.kill('SIGTERM');
    expect(await first.exited()).toBe(0);
    await expect(access(join(folder, '.ordo/database-url'))).rejects.toThrow();
    await expect(postmasterOf(folder)).rejects.toThrow();

    // Whoever was signed in still is, for the secret was kept; and the password is told once.
    const second = start();
    const secondUrl = await second.listening();
    expect(second.lines.join()).not.toMatch(/password/i);
    expect(await statusOf(`${secondUrl}/v1/orders/${order}`, token)).toBe(200);
    const latest = await placeOrder({ url: secondUrl, token: await tokenOf(secondUrl, admin) });
    const postmaster = await postmasterOf(folder);
    second.process.kill('SIGKILL');
    await second.exited();

    // What was killed left its database running, which the next one adopts.
    const third = await start().listening();
    expect(await postmasterOf(folder)).toBe(postmaster);
    expect(await statusOf(`${third}/v1/orders/${latest}`, token)).toBe(200);
  });

  it('serves again in the same process after kill -9 of PostgreSQL', async () => {
    const service = start({ ADMIN_PASSWORD: ADMIN.password });
    const url = await service.listening();
    const token = await tokenOf(url, ADMIN);
    const order = await placeOrder({ url, token });
    process.kill(await postmasterOf(folder), 'SIGKILL');
    const seen = new Set<number>();
    await eventually(async () => {
      const status = await statusOf(`${url}/v1/orders/${order}`, token);
      seen.add(status);
      expect(status).toBe(200);
      await placeOrder({ url, token });
      expect(await statusOf(`${url}/health/ready`)).toBe(200);
    });
    expect([...seen].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  });
});

describe('a start that cannot go on ends with one line and exit code 1', () => {
  async function refusal(environment: Record<string, string>): Promise<string> {
    const service = start(environment);
    expect(await service.exited()).toBe(1);
    const words = service.lines.filter((line) => !line.startsWith('{'));
    expect(words).toHaveLength(1);
    return words[0] ?? '';
  }

  it('PORT is taken, and the database that was started for it is stopped', async () => {
    const { squatter, port } = await squat();
    const line = await refusal({ PORT: String(port), ADMIN_PASSWORD: ADMIN.password });
    expect(line).toContain(`Port ${port} is taken by another program: set PORT`);
    await expect(postmasterOf(folder)).rejects.toThrow();
    squatter.close();
  });

  it('METRICS_PORT is taken', async () => {
    const { squatter, port } = await squat();
    const line = await refusal({ ...withDatabase(), METRICS_PORT: String(port) });
    expect(line).toContain(`Port ${port} is taken by another program: set METRICS_PORT`);
    squatter.close();
  });

  it('a variable is wrong', async () => {
    expect(await refusal({ REQUEST_TIMEOUT_MS: 'soon' })).toMatch(/REQUEST_TIMEOUT_MS must be an integer/);
  });

  it('the address is not one of this machine', async () => {
    expect(await refusal({ ...withDatabase(), HOST: '192.0.2.1' })).toMatch(/cannot be listened on .*HOST/);
  });

  it('the database does not know the login', async () => {
    const url = new URL(database.serviceUrl);
    url.password = 'canary-password';
    const line = await refusal({ ...withDatabase(), DATABASE_URL: url.href });
    expect(line).toBe('ordo: The database that DATABASE_URL names cannot be used (28P01)');
  });

  it('production has no database', async () => {
    expect(await refusal({ NODE_ENV: 'production' })).toMatch(/DATABASE_URL/);
  });

  it('production has no keys and no name of its log', async () => {
    const line = await refusal({ ...withDatabase(), NODE_ENV: 'production' });
    const faults = ['JWT_KEYS', 'AUDIT_SIGNING_KEY', 'AUDIT_ORIGIN'].map(
      (name) => `${name} must be set when NODE_ENV is production`,
    );
    expect(line).toBe(`ordo: ${faults.join('; ')}`);
  });

  it('the password of the first admin is one that everybody guesses', async () => {
    const fresh = await createDatabase();
    const environment = { ...withDatabase(), DATABASE_URL: fresh.serviceUrl, ADMIN_PASSWORD: 'password1234' };
    const line = await refusal(environment);
    expect(line).toMatch(/^ordo: ADMIN_PASSWORD: .*common/);
    expect(line).not.toContain('password1234');
    expect(await fresh.query('SELECT FROM users')).toEqual([]);
    await fresh.drop();
  });
});

describe('told to stop', () => {
  it('finishes what it has begun, answers that it is not ready, and exits with 0, however often it is told', async () => {
    const service = start({ ...withDatabase(), SHUTDOWN_DELAY_MS: '700' });
    const url = await service.listening();
    const { port } = new URL(url);
    const token = await tokenOf(url, ADMIN);
    // Half a request: the service waits for the rest of it.
    const socket = connect(Number(port), '127.0.0.1');
    const body = JSON.stringify({ name: 'Ada', email: 'half@example.com' });
    socket.write(
      `POST /v1/users HTTP/1.1\r\nHost: ordo\r\nAuthorization: Bearer ${token}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    await once(socket, 'connect');
    service.process.kill('SIGTERM');
    service.process.kill('SIGTERM');
    const answer = await eventually(async () => {
      const ready = await fetch(`${url}/health/ready`);
      expect(ready.status).toBe(503);
      return ready;
    });
    expect(answer.headers.get('connection')).toBe('close');
    service.process.kill('SIGINT');
    await eventually(async () => {
      await expect(fetch(`${url}/health/live`)).rejects.toThrow();
    });
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      received += chunk.toString();
    });
    socket.write(body);
    await once(socket, 'close');
    expect(received).toMatch(/^HTTP\/1.1 201 /);
    expect(await service.exited()).toBe(0);
  });

  it('does not wait longer than SHUTDOWN_TIMEOUT_MS for a client that never finishes', async () => {
    const service = start({ ...withDatabase(), SHUTDOWN_TIMEOUT_MS: '300' });
    const url = await service.listening();
    const socket = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined);
    socket.write(
      'POST /v1/users HTTP/1.1\r\nHost: ordo\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n',
    );
    await once(socket, 'connect');
    await statusOf(`${url}/health/live`);
    service.process.kill('SIGTERM');
    await once(socket, 'close');
    expect(await service.exited()).toBe(0);
  });
});
