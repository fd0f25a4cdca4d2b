import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { createFolder, until } from '../support/process.js';
import { abandonShops, openShop } from './shop.js';

let folder: string;
let remove: () => Promise<void>;
let server: TestPostgres;
beforeEach(async () => {
  ({ folder, remove } = await createFolder());
  server = await startPostgres(join(folder, 'primary'), { max_connections: '30' });
});
afterEach(async () => {
  await abandonShops();
  await server.stop('immediate');
  await remove();
});

it('all connections of the pool are waiting for a lock', async () => {
  const shop = await openShop(server, folder, { environment: { DATABASE_POOL_SIZE: '3' } });
  await shop.serves();
  const other = new pg.Client({ connectionString: server.superuserUrl });
  other.on('error', () => undefined);
  await other.connect();
  await other.query('BEGIN');
  await other.query('LOCK TABLE orders IN EXCLUSIVE MODE');
  // Placements share one connection; changes of single orders take one each.
  const [order] = await server.query<{ id: string }>('SELECT id FROM orders LIMIT 1');
  const released = new AbortController();
  const isReleased = () => released.signal.aborted;
  const changes = Array.from({ length: 6 }, async () => {
    while (!isReleased()) {
      const sent = { method: 'PATCH', headers: { 'If-Match': '*' }, body: { note: 'x' } };
      const { status, headers } = await shop.client.send(`/v1/orders/${order?.id}`, sent);
      if (!isReleased()) expect([status, headers['retry-after']]).toEqual([503, '1']);
    }
  });
  await shop.refuses();
  await until('it says that it is not ready', 30_000, () => shop.health.ready === 503);
  released.abort();
  await other.query('ROLLBACK');
  await other.end();
  await Promise.all(changes);
  await shop.serves();
  await shop.close();
});

it('PostgreSQL has no connection left', async () => {
  const shop = await openShop(server, folder);
  await shop.serves();
  await server.query(`ALTER ROLE ordo_app CONNECTION LIMIT 0`);
  await server.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ordo_app'`);
  await shop.refuses();
  await until('it says that it is not ready', 20_000, () => shop.health.ready === 503);
  await server.query(`ALTER ROLE ordo_app CONNECTION LIMIT -1`);
  await shop.serves();
  await shop.close();
  expect(shop.statuses.get(201)).toBeGreaterThan(0);
});
