import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../src/database/data-source.js';
import { impatientSocket } from '../src/database/impatient-socket.js';
import { isDatabaseUnavailable } from '../src/database/sqlstate.js';
import { inTransaction } from '../src/database/transaction.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { type CuttingProxy, startProxy } from './support/proxy.js';

let database: TestDatabase;
let proxy: CuttingProxy;
let dataSource: DataSource;
beforeAll(async () => {
  database = await createDatabase();
  proxy = await startProxy(database.serviceUrl);
  dataSource = new DataSource({
    // One connection: another that is idle would be stalled as well, and be given up in the middle of the next question.
    ...dataSourceOptions(proxy.url, 1),
    extra: { stream: impatientSocket(1_000) },
  });
  await dataSource.initialize();
});
afterAll(async () => {
  await dataSource.destroy();
  await proxy.stop();
  await database.drop();
});

it('a connection that swallows a question is given up, and the pool goes on with new ones', async () => {
  const stalled = proxy.stallAt('pg_backend_pid');
  const lost = await dataSource.query('SELECT pg_backend_pid()').catch((error: unknown) => error);
  await stalled;
  expect(isDatabaseUnavailable(lost)).toBe(true);
  for (let round = 0; round < 5; round++) {
    expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  }
});

it('a COMMIT that is never answered is unknown, and holds nothing up', async () => {
  const stalled = proxy.stallAt('COMMIT');
  const commit = inTransaction(dataSource, async (tx) => {
    await tx.query('SELECT 1');
    return { commit: true, result: undefined };
  });
  await expect(commit).rejects.toMatchObject({ code: 'unavailable', headers: { 'Retry-After': '1' } });
  await stalled;
  expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
});
