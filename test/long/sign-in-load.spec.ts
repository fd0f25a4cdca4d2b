import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { createFolder, type ServiceProcess, startProcess } from '../support/process.js';

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
let service: ServiceProcess;
let url: string;

beforeAll(async () => {
  database = await createDatabase();
  folder = await createFolder();
  service = startProcess(folder.folder, {
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    ADMIN_PASSWORD: ADMIN.password,
    ARGON2_CONCURRENCY: '1',
    RATE_LIMIT: '1000000',
    TRUST_PROXY: '1',
  });
  url = await service.listening();
});
afterAll(async () => {
  service.process.kill('SIGTERM');
  await service.exited();
  await database.drop();
  await folder.remove();
});

function signIn(address: string, credentials: object): Promise<Response> {
  return fetch(`${url}/v1/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': address },
    body: JSON.stringify(credentials),
  });
}

/** Compares times too, for a machine that does nothing else: ORDO_SIGN_IN_P99=1 npm run test:long -- test/long/sign-in-load */
const isTimed = process.env.ORDO_SIGN_IN_P99 !== undefined;

it(`200 sign-ins at once fill the queue and no more, and other routes answer meanwhile${isTimed ? ', at most half as fast' : ''}`, async () => {
  const { accessToken } = (await (await signIn('10.1.0.0', ADMIN)).json()) as { accessToken: string };
  const read = async () => {
    const response = await fetch(`${url}/v1/users/me`, {
      headers: { Authorization: `Bearer ${accessToken}` },
    });
    await response.arrayBuffer();
    expect(response.status).toBe(200);
  };
  // Whatever slows the route by its design does so in every round; noise does not.
  const ratios: number[] = [];
  for (let round = 0; round < 3; round++) {
    await timesOf(read, 200);
    const baseline = percentile99(await timesOf(read, 500));
    let areOver = false;
    // Accounts and addresses of their own, or most were throttled: an unknown account is as much work as a known one.
    const signIns = Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        signIn(`10.${round}.1.${index}`, {
          email: `nobody.${index}@example.com`,
          password: 'whatever it may be',
        }),
      ),
    );
    const over = signIns.then(() => (areOver = true));
    const meanwhile = await timesOf(read, Infinity, () => areOver);
    const crowded = percentile99(meanwhile);
    await over;
    // One at a time, each of them while passwords are checked.
    expect(meanwhile.length).toBeGreaterThan(20);
    const statuses = (await signIns).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401).length).toBeGreaterThanOrEqual(100);
    const refused = (await signIns).filter(({ status }) => status !== 401);
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]));
    expect(refused[0]?.headers.get('Retry-After')).toBe('1');
    ratios.push(crowded / baseline);

    if (!isTimed || crowded < 2 * baseline) return;
  }
  throw new Error(`p99 against its baseline, round by round: ${ratios.join(', ')}`);
}, 90_000);

/** Milliseconds of each of `count` runs of `work`, one after the other, or fewer when `isOver`. */
async function timesOf(work: () => Promise<void>, count: number, isOver = () => false): Promise<number[]> {
  const times = [];
  while (times.length < count && !isOver()) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times;
}

function percentile99(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? NaN;
}
