import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { runProgram } from '../support/cli.js';
import { hasPgBouncer, startPgBouncer, type TestPgBouncer } from '../support/pgbouncer.js';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { createFolder, until } from '../support/process.js';
import { lines } from '../support/samples.js';
import { abandonShops, openShop, type Shop } from './shop.js';

const MIGRATE = new URL('../../dist/src/cli/migrate.js', import.meta.url).pathname;

/** Fewer than the service's own pool has: they are handed from one transaction to the next. */
const SERVER_CONNECTIONS = 4;

(hasPgBouncer ? describe : describe.skip)('behind PgBouncer in transaction mode', () => {
  let folder: string;
  let remove: () => Promise<void>;
  let server: TestPostgres;
  let bouncer: TestPgBouncer;
  let shop: Shop;
  beforeAll(async () => {
    ({ folder, remove } = await createFolder());
    server = await startPostgres(join(folder, 'primary'));
    const bouncerFolder = join(folder, 'pgbouncer');
    await mkdir(bouncerFolder);
    bouncer = await startPgBouncer(bouncerFolder, [server.serviceUrl, server.ownerUrl], SERVER_CONNECTIONS);
    shop = await openShop(server, folder, {
      url: bouncer.through(server.serviceUrl),
      // Debian 12 has PgBouncer 1.18, which does not know them.
      environment: { PREPARED_STATEMENTS: 'off' },
    });
  });
  afterAll(async () => {
    await abandonShops();
    await bouncer.kill();
    await server.stop('immediate');
    await remove();
  });

  it('everything works that keeps a session in mind: limits, roles, locks, snapshots', async () => {
    await shop.serves();
    const client = new pg.Client({ connectionString: bouncer.through(server.serviceUrl) });
    await client.connect();
    const settings = await Promise.all(
      ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'].map(async (name) => {
        const { rows } = await client.query<Record<string, string>>(`SHOW ${name}`);
        return rows[0]?.[name];
      }),
    );
    await client.end();
    expect(settings).toEqual(['10s', '5s', '15s']);
    const migrated = await runProgram(process.execPath, [MIGRATE], {
      MIGRATION_DATABASE_URL: bouncer.through(server.ownerUrl),
    });
    expect(migrated).toMatchObject({ code: 0, out: 'The schema is up to date\n' });

    const post = (path: string, body: object, headers = {}) =>
      shop.client.send(path, { method: 'POST', body, headers });
    const user = await post('/v1/users', { name: 'Ada', email: 'ada@example.com' });
    expect(user.status).toBe(201);
    const { id: userId } = JSON.parse(user.body) as { id: string };
    // More at once than there are connections to the server.
    const batches = await Promise.all(
      Array.from({ length: 16 }, (_, batch) =>
        post('/v1/orders/batch', {
          items: Array.from({ length: 20 }, (__, item) => ({
            idempotencyKey: `${batch}-${item}`,
            order: { userId, currency: 'USD', lines },
          })),
        }),
      ),
    );
    expect(batches.map(({ status }) => status)).toEqual(batches.map(() => 207));
    const repeated = await Promise.all(
      Array.from({ length: 12 }, () =>
        post('/v1/orders', { userId, currency: 'USD', lines }, { 'Idempotency-Key': 'one of many' }),
      ),
    );
    expect(new Set(repeated.map(({ status, body }) => `${status} ${body}`)).size).toBe(1);
    const exported = await shop.client.send(`/v1/orders/export?userId=${userId}`);
    expect(exported.body.trim().split('\n')).toHaveLength(16 * 20 + 1);
    const [used] = await server.query<{ connections: number }>(
      `SELECT count(*)::int AS connections FROM pg_stat_activity WHERE usename = 'ordo_app'`,
    );
    expect(used?.connections).toBeLessThanOrEqual(SERVER_CONNECTIONS);
  });

  it('PgBouncer is away and comes back', async () => {
    await bouncer.kill();
    await shop.refuses();
    await until('it says that it is not ready', 10_000, () => shop.health.ready === 503);
    await bouncer.start();
    await shop.serves();
  });

  it('PostgreSQL is away behind it, and comes back', async () => {
    await server.stop('immediate');
    // PgBouncer keeps its clients waiting.
    await shop.refuses();
    await until('it says that it is not ready', 10_000, () => shop.health.ready === 503);
    await server.start();
    await shop.serves();
  });

  it('and in the end all is in order', async () => {
    await shop.close();
  });
});
