import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { createDatabase, type TestDatabase } from './support/database.js';
import { createUser, placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

const ORDERS = 3;
/** As many forms as one connection keeps of those that requests compose. */
const MOST = 32;

let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

/** A service with a single connection, from which one sees what it has prepared. */
const start = (PREPARED_STATEMENTS: 'on' | 'off') =>
  startService({ DATABASE_POOL_SIZE: 1, PREPARED_STATEMENTS }, database);

async function prepared({ app }: TestService, like: string): Promise<number> {
  const rows = await app
    .get(DataSource)
    .query<unknown[]>('SELECT name FROM pg_prepared_statements WHERE name LIKE $1', [like]);
  return rows.length;
}

it('take no more of a connection than so much, in however many forms pages are asked for', async () => {
  const service = await start('on');
  const { id } = await createUser(service);
  const placed = [];
  for (let count = 0; count < ORDERS; count++) placed.unshift((await placeOrder(service, id)).id);
  for (let round = 0; round < 2; round++) {
    for (let limit = 1; limit <= MOST + 8; limit++) {
      const { body } = await service.send('get', `/v1/orders?userId=${id}&limit=${limit}`).expect(200);
      const { data } = body as { data: { id: string }[] };
      expect(data.map((order) => order.id)).toEqual(placed.slice(0, limit));
    }
  }
  expect(await prepared(service, 'composed %')).toBe(MOST);
  await service.stop();
});

it('are none where they are switched off', async () => {
  const service = await start('off');
  await service.send('get', '/v1/orders').expect(200);
  expect(await prepared(service, '%')).toBe(0);
  await service.stop();
});
