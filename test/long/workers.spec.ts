import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import {
  createFolder,
  eventually,
  freePort,
  postmasterOf,
  printedAdmin,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from '../support/process.js';
import { lines } from '../support/samples.js';

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
let service: ServiceProcess;
let url: string;
let metricsUrl: string;

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  folder = await createFolder();
});
afterEach(async () => {
  service.process.kill('SIGTERM');
  await service.exited();
  await folder.remove();
});

/** Three workers on the run's database. */
async function startThree(): Promise<void> {
  const port = await freePort();
  metricsUrl = `http://127.0.0.1:${port}/metrics`;
  service = startProcess(folder.folder, {
    WORKERS: '3',
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    HOST: '127.0.0.1',
    ADMIN_PASSWORD: ADMIN.password,
    METRICS_PORT: String(port),
    SHUTDOWN_DELAY_MS: '3000',
  });
  url = await service.listening();
}

/** On a connection of its own, which goes to the next worker. */
async function send(token: string, method: string, path: string, body?: object): Promise<Response> {
  return fetch(url + path, {
    method,
    headers: {
      Authorization: `Bearer ${token}`,
      Connection: 'close',
      ...(method === 'POST' && { 'Idempotency-Key': randomUUID() }),
      ...(body && { 'Content-Type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
}

interface RequestLine {
  readonly pid: number;
  readonly msg: string;
  readonly route?: string;
}

function logged(): RequestLine[] {
  return service.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as RequestLine);
}

/** The processes that have answered requests to this route. */
const workersOf = (route: string) =>
  new Set(logged().flatMap((line) => (line.route === route ? [line.pid] : [])));

it('serve on one port what any of them wrote, are measured together, and stop without dropping a request', async () => {
  await startThree();
  const token = await tokenOf(url, ADMIN);
  const { id } = (await (await send(token, 'GET', '/v1/users/me')).json()) as { id: string };
  for (let count = 0; count < 6; count++) {
    const placed = await send(token, 'POST', '/v1/orders', { userId: id, currency: 'EUR', lines });
    const order = (await placed.json()) as { id: string };
    const reads = await Promise.all(
      Array.from({ length: 3 }, () => send(token, 'GET', `/v1/orders/${order.id}`)),
    );
    expect([placed, ...reads].map(({ status }) => status)).toEqual([201, 200, 200, 200]);
  }
  await eventually(async () => {
    await send(token, 'GET', '/v1/orders');
    expect(workersOf('/v1/orders').size).toBe(3);
  });

  const metrics = await (await fetch(metricsUrl)).text();
  expect(metrics).toContain(
    'http_request_duration_seconds_count{method="GET",route="/v1/orders/{id}",status="200"} 18\n',
  );

  const answers: Promise<number>[] = [];
  const sender = setInterval(() => {
    answers.push(
      send(token, 'GET', '/v1/orders?limit=1').then(async (response) => {
        await response.arrayBuffer();
        return response.status;
      }),
    );
  }, 5);
  await eventually(async () => expect(answers.length).toBeGreaterThan(20));
  service.process.kill('SIGTERM');
  // As a load balancer, which sends nothing more to who is not ready.
  await eventually(async () => expect((await fetch(`${url}/health/ready`)).status).toBe(503));
  clearInterval(sender);
  expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
  expect(await service.exited()).toBe(0);
  expect(logged().filter(({ msg }) => msg.startsWith('Ordo listens'))).toHaveLength(1);
});

it('are replaced when they die, while the others serve and nothing that was acknowledged is lost', async () => {
  await startThree();
  const token = await tokenOf(url, ADMIN);
  const { id } = (await (await send(token, 'GET', '/v1/users/me')).json()) as { id: string };
  await eventually(async () => {
    await send(token, 'GET', '/v1/users/me');
    expect(workersOf('/v1/users/me').size).toBe(3);
  });
  const [victim = 0] = workersOf('/v1/users/me');
  const before = workersOf('/v1/users/me');

  const placed: string[] = [];
  const place = async () => {
    const order = { userId: id, currency: 'EUR', lines };
    const response = await send(token, 'POST', '/v1/orders', order).catch(() => undefined);
    if (response === undefined) return;
    expect(response.status).toBe(201);
    placed.push(((await response.json()) as { id: string }).id);
  };
  const orders = Array.from({ length: 30 }, place);
  process.kill(victim, 'SIGKILL');
  await Promise.all(orders);
  expect(placed.length).toBeGreaterThan(0);
  await eventually(async () => {
    const response = await send(token, 'GET', '/v1/users/me');
    expect(response.status).toBe(200);
    expect([...workersOf('/v1/users/me')].filter((pid) => !before.has(pid))).toHaveLength(1);
  });
  for (const order of placed) expect((await send(token, 'GET', `/v1/orders/${order}`)).status).toBe(200);
  expect(logged().filter(({ msg }) => msg.startsWith('A worker has ended'))).toHaveLength(1);
});

it('start while somebody asks for metrics all the time, who is answered by those that serve', async () => {
  const port = await freePort();
  const statuses = new Set<number>();
  service = startProcess(folder.folder, { WORKERS: '2', METRICS_PORT: String(port) });
  const scraping = setInterval(() => {
    void fetch(`http://127.0.0.1:${port}/metrics`).then(
      ({ status }) => statuses.add(status),
      () => undefined,
    );
  }, 15);
  url = await service.listening();
  await eventually(async () => expect(statuses.size).toBeGreaterThan(0));
  clearInterval(scraping);
  expect([...statuses]).toEqual([200]);
});

it('share an embedded database that ends with them, and tell the password of the first admin once', async () => {
  service = startProcess(folder.folder, { WORKERS: '2' });
  url = await service.listening();
  const token = await tokenOf(url, printedAdmin(service));
  expect((await send(token, 'GET', '/v1/users/me')).status).toBe(200);
  expect(service.lines.filter((line) => line.includes('password'))).toHaveLength(1);
  await postmasterOf(folder.folder);
  service.process.kill('SIGTERM');
  expect(await service.exited()).toBe(0);
  await expect(postmasterOf(folder.folder)).rejects.toThrow();
});

it('end with the first that cannot start, whose reason is told once', async () => {
  const unknown = new URL(database.serviceUrl);
  unknown.password = 'not the password';
  service = startProcess(folder.folder, {
    WORKERS: '2',
    DATABASE_URL: unknown.href,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
  });
  expect(await service.exited()).toBe(1);
  expect(service.lines.filter((line) => !line.startsWith('{'))).toEqual([
    'ordo: The database that DATABASE_URL names cannot be used (28P01)',
    'ordo: No worker could start',
  ]);
});
