import { randomBytes } from 'node:crypto';
import pg from 'pg';

/** A database of one test file: a clone of the run's migrated template, reached as each of its three logins. */
export interface TestDatabase {
  readonly superuserUrl: string;
  readonly ownerUrl: string;
  readonly serviceUrl: string;
  /** Runs one statement as superuser. */
  query<Row extends pg.QueryResultRow>(sql: string, parameters?: unknown[]): Promise<Row[]>;
  /** A connection of its own, as the service's login unless another URL is given; `drop` ends it. */
  connect(url?: string): Promise<pg.Client>;
  drop(): Promise<void>;
}

/** Clones the template; with `empty` the database has no schema yet. */
export async function createDatabase({ empty = false } = {}): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const admin = new pg.Client({ connectionString: onDatabase('ORDO_TEST_SUPERUSER_URL', 'postgres') });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name} TEMPLATE ${empty ? 'template0' : 'ordo'} OWNER ordo_owner`);

  const superuserUrl = onDatabase('ORDO_TEST_SUPERUSER_URL', name);
  const serviceUrl = onDatabase('ORDO_TEST_SERVICE_URL', name);
  const clients: pg.Client[] = [];
  const connect = async (url = serviceUrl) => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    clients.push(client);
    return client;
  };
  return {
    superuserUrl,
    ownerUrl: onDatabase('ORDO_TEST_OWNER_URL', name),
    serviceUrl,
    connect,
    async query<Row extends pg.QueryResultRow>(sql: string, parameters: unknown[] = []) {
      const client = await connect(superuserUrl);
      try {
        return (await client.query<Row>(sql, parameters)).rows;
      } finally {
        await client.end();
      }
    },
    async drop() {
      await Promise.all(clients.map((client) => client.end()));
      await untilUnused(admin, name);
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}

/** A pool that has ended may still be closing its connections: cut off in that moment they would report an error. */
async function untilUnused(admin: pg.Client, name: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const { rowCount } = await admin.query('SELECT FROM pg_stat_activity WHERE datname = $1', [name]);
    if (rowCount === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function onDatabase(variable: string, name: string): string {
  const url = new URL(process.env[variable] ?? '');
  url.pathname = `/${name}`;
  return url.href;
}
