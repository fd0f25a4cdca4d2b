import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { runProgram } from '../support/cli.js';
import { expectSettled } from '../support/aftermath.js';
import { HttpClient } from '../support/http-client.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import {
  createFolder,
  eventually,
  freePort,
  type ServiceProcess,
  startProcess,
  until,
} from '../support/process.js';
import { lines } from '../support/samples.js';
import { type Balancer, startBalancer } from './balancer.js';
import { startLoad } from './load.js';
import { makeNextBuild, NEXT_MIGRATION } from './next-build.js';

const REQUESTS = Number(process.env.ROLLOUT_REQUESTS ?? 10_000);
const ROUNDS = Number(process.env.ROLLOUT_ROUNDS ?? 1);
/** Replicas of several processes take more of the machine than there is: a short round. */
const WORKERS_REQUESTS = Math.min(5_000, REQUESTS);

/** Above what the balancer takes to notice, as the delay before SIGTERM is in Kubernetes. */
const SHUTDOWN_DELAY_MS = 3_000;
const SHUTDOWN_TIMEOUT_MS = 15_000;

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };
const EXPORTED_ORDERS = 1_400;

let folder: string;
let remove: () => Promise<void>;
let next: { main: string; migrate: string };
beforeAll(async () => {
  ({ folder, remove } = await createFolder());
  next = await makeNextBuild(join(folder, 'next'));
});
afterAll(() => remove());

interface Replica extends ServiceProcess {
  readonly name: string;
  readonly port: number;
}

/** How a round is played: how many requests, and of how many processes a replica is. */
interface Settings {
  readonly requests: number;
  readonly workers: number;
}

/** A deployment as a cluster of Kubernetes runs it. */
class Deployment {
  readonly running = new Set<Replica>();
  constructor(
    private readonly database: TestPostgres,
    private readonly balancer: Balancer,
    private readonly workFolder: string,
    private readonly settings: Settings,
  ) {}

  /** Starts a replica; it gets requests once it is ready. */
  async start(name: string, main?: string): Promise<Replica> {
    const port = await freePort();
    const environment = {
      NODE_ENV: 'test',
      PORT: String(port),
      HOST: '127.0.0.1',
      DATABASE_URL: this.database.serviceUrl,
      ORDO_SECRET: 'a secret of the tests, 32 characters or more',
      ADMIN_PASSWORD: ADMIN.password,
      AUDIT_CHECKPOINT_SINK: join(this.workFolder, 'checkpoint'),
      RATE_LIMIT: '1000000',
      LOG_LEVEL: 'warn',
      SHUTDOWN_DELAY_MS: String(SHUTDOWN_DELAY_MS),
      SHUTDOWN_TIMEOUT_MS: String(SHUTDOWN_TIMEOUT_MS),
      WORKERS: String(this.settings.workers),
    };
    const replica = { ...startProcess(this.workFolder, environment, main), name, port };
    this.running.add(replica);
    this.balancer.add(name, port);
    return replica;
  }

  async ready({ name }: Replica): Promise<void> {
    await until(`${name} is ready`, 60_000, () => this.balancer.isReady(name));
  }

  /** Stops a replica as Kubernetes does; answers after how many milliseconds it was gone. */
  async stop(replica: Replica): Promise<number> {
    const started = performance.now();
    replica.process.kill('SIGTERM');
    expect(await replica.exited()).toBe(0);
    this.balancer.remove(replica.name);
    this.running.delete(replica);
    return Math.round(performance.now() - started);
  }

  /** Nobody is told. */
  async kill(replica: Replica): Promise<void> {
    replica.process.kill('SIGKILL');
    await replica.exited();
    this.running.delete(replica);
  }
}

/** Signs in twice, and places the orders that are exported, which are large. */
async function prepare(url: string) {
  const client = new HttpClient(url, undefined);
  const post = async <T>(path: string, body: object): Promise<T> => {
    const answer = await client.send(path, { method: 'POST', body });
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as T;
  };
  const signIn = () => post<{ accessToken: string; refreshToken: string }>('/v1/auth/login', ADMIN);
  const { accessToken } = await signIn();
  // A session that is looked at by itself: all else goes on without it.
  const { refreshToken } = await signIn();
  client.token = accessToken;
  const { id: userId } = await post<{ id: string }>('/v1/users', { name: 'Ada', email: 'ada@example.com' });
  const metadata = Object.fromEntries(Array.from({ length: 40 }, (_, key) => [`k${key}`, 'x'.repeat(500)]));
  for (let batch = 0; batch < EXPORTED_ORDERS / 35; batch++) {
    const items = Array.from({ length: 35 }, (_, item) => ({
      idempotencyKey: `large-${batch}-${item}`,
      order: { userId, currency: 'EUR', lines, metadata },
    }));
    await post('/v1/orders/batch', { items });
  }
  client.close();
  return { accessToken, refreshToken, userId };
}

async function round(name: string, settings: Settings): Promise<void> {
  const workFolder = join(folder, name);
  await mkdir(workFolder);
  const database = await startPostgres(join(workFolder, 'database'));
  const balancer = await startBalancer();
  let stopLoad = () => Promise.resolve();
  const deployment = new Deployment(database, balancer, workFolder, settings);
  const started = performance.now();
  const note = (text: string) => {
    const seconds = ((performance.now() - started) / 1_000).toFixed(1).padStart(6);
    process.stdout.write(`${name} ${seconds} s  ${text}\n`);
  };
  try {
    const old = [
      await deployment.start('old-1'),
      await deployment.start('old-2'),
      await deployment.start('old-3'),
    ];
    for (const replica of old) await deployment.ready(replica);
    const [first, second, third] = old as [Replica, Replica, Replica];
    const { accessToken, refreshToken, userId } = await prepare(balancer.url);
    note('three replicas are ready');

    const load = startLoad({
      url: balancer.url,
      servedBy: (port) => balancer.servedBy(port),
      token: accessToken,
      refreshToken,
      exported: { userId, orders: EXPORTED_ORDERS },
      readers: 12,
      placers: 12,
      slow: 4,
    });
    const { seen } = load;
    stopLoad = () => load.stop();
    const answered = (share: number) =>
      until(`${share * 100} % of the requests`, 600_000, () => seen.requests >= share * settings.requests);

    await answered(0.1);
    note(`${seen.requests} requests`);
    const fresh = await deployment.start('new-1', next.main);
    const ready = await eventually(() => fetch(`http://127.0.0.1:${fresh.port}/health/ready`));
    expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining(NEXT_MIGRATION)]);
    const migration = await runProgram(process.execPath, [next.migrate], {
      MIGRATION_DATABASE_URL: database.ownerUrl,
    });
    note(`migrated: ${migration.out.trim()}${migration.err.trim()}`);
    expect(migration).toMatchObject({ code: 0, out: expect.stringContaining(NEXT_MIGRATION) });
    await deployment.ready(fresh);
    expect(balancer.lapses).toEqual([]);
    note(`old-1 was replaced, gone after ${await deployment.stop(first)} ms`);

    await answered(0.3);
    await deployment.ready(await deployment.start('new-2', next.main));
    note(`old-2 was replaced, gone after ${await deployment.stop(second)} ms`);

    await answered(0.5);
    await deployment.kill(fresh);
    note('new-1 was killed');
    await deployment.ready(await deployment.start('new-1 again', next.main));

    await answered(0.7);
    await deployment.ready(await deployment.start('new-3', next.main));
    note(`old-3 was replaced, gone after ${await deployment.stop(third)} ms`);
    await answered(1);
    await stopLoad();

    const excused = seen.failures.filter(({ replica }) => replica === 'new-1');
    note(
      `${seen.requests} requests: ${seen.placed} placements, ${seen.placedSlowly} slow ones, ${seen.exports} exports, ` +
        `${seen.refreshes} refreshes; slowest ${Math.round(seen.slowest)} ms; failed: ${excused.length} at the killed ` +
        `replica, ${seen.failures.length - excused.length} at the others`,
    );
    expect(seen.failures.filter(({ replica }) => replica !== 'new-1')).toEqual([]);
    expect(excused.length).toBeGreaterThan(0);
    // Those that were told to stop, and the one that was killed.
    expect(balancer.lapses.map((lapse) => lapse.split(':')[0])).toEqual(['old-1', 'old-2', 'new-1', 'old-3']);
    expect([seen.exports, seen.placedSlowly, seen.refreshes].every((number) => number > 3)).toBe(true);
    const leaves = await expectSettled(database, {
      url: balancer.url,
      token: accessToken,
      acknowledged: seen.acknowledged,
      checkpoints: [...seen.checkpoints],
      folder: workFolder,
    });
    note(
      `${seen.acknowledged.size} orders are there once; ${leaves} leaves, ${seen.checkpoints.size} checkpoints agree`,
    );
  } finally {
    await stopLoad();
    for (const replica of deployment.running) replica.process.kill('SIGKILL');
    await Promise.all([...deployment.running].map((replica) => replica.exited()));
    await balancer.stop();
    await database.stop('fast');
  }
}

for (let number = 1; number <= ROUNDS; number++) {
  it(
    `an update under load loses nothing, round ${number} of ${ROUNDS}`,
    () => round(`round-${number}`, { requests: REQUESTS, workers: 1 }),
    1_200_000,
  );
}

it(
  'nor does one of replicas that are of two processes each',
  () => round('workers', { requests: WORKERS_REQUESTS, workers: 2 }),
  600_000,
);
