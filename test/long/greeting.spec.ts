import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { createFolder, eventually, startProcess } from '../support/process.js';
import { type CuttingProxy, startProxy } from '../support/proxy.js';

let database: TestDatabase;
let proxy: CuttingProxy;
let folder: Awaited<ReturnType<typeof createFolder>>;
beforeAll(async () => {
  database = await createDatabase();
  proxy = await startProxy(database.serviceUrl);
  folder = await createFolder();
});
afterAll(async () => {
  await proxy.stop();
  await database.drop();
  await folder.remove();
});

it('a connection that PostgreSQL ends with the words that greet it ends no process', async () => {
  const service = startProcess(folder.folder, {
    DATABASE_URL: proxy.url,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    HOST: '127.0.0.1',
  });
  const url = await service.listening();
  const ended = proxy.endAtGreeting();
  // So that it needs new ones, if only to seal the log.
  await database.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  await ended;
  await eventually(async () => expect((await fetch(`${url}/health/ready`)).status).toBe(200));
  service.process.kill('SIGTERM');
  expect(await service.exited()).toBe(0);
});
