import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { createFolder, eventually, type ServiceProcess, startProcess, tokenOf } from '../support/process.js';

const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };
/** Longer than a turn of the event loop may take. */
const STOPPED_MS = 650;
/** Less than the time after which the event loop is looked at, which would count as a turn that came in time. */
const RUNNING_MS = 10;

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
    HOST: '127.0.0.1',
  });
  url = await service.listening();
});
afterAll(async () => {
  service.process.kill('SIGTERM');
  expect(await service.exited()).toBe(0);
  await database.drop();
  await folder.remove();
});

/** Stops the process again and again while `work` goes on; it runs on in the end, whatever comes of that. */
async function whileLate(work: () => Promise<void>): Promise<void> {
  const over = new AbortController();
  const stops = (async () => {
    while (!over.signal.aborted) {
      service.process.kill('SIGSTOP');
      await delay(STOPPED_MS);
      service.process.kill('SIGCONT');
      await delay(RUNNING_MS);
    }
  })();
  await work().finally(() => {
    over.abort();
    return stops;
  });
}

it('refuses while the process does not keep up, answers probes, and takes requests again when it does', async () => {
  const token = await tokenOf(url, ADMIN);
  const get = (path: string) => fetch(url + path, { headers: { Authorization: `Bearer ${token}` } });
  expect((await get('/v1/users/me')).status).toBe(200);
  await whileLate(async () => {
    const refusal = await eventually(async () => {
      const answer = await get('/v1/users/me');
      expect(answer.status).toBe(503);
      return answer;
    });
    expect(refusal.headers.get('Retry-After')).toBe('1');
    expect(await refusal.json()).toMatchObject({
      code: 'unavailable',
      status: 503,
      detail: 'There are too many requests just now.',
    });
    expect((await get('/health/live')).status).toBe(200);
    // It asks the database, which may seem slow to answer when the process was stopped for long.
    await eventually(async () => expect((await get('/health/ready')).status).toBe(200));
    await eventually(async () => expect((await get('/v1/users/me')).status).toBe(503));
  });
  await eventually(async () => expect((await get('/v1/users/me')).status).toBe(200));
});
