import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { EventsWithoutState1795305600004 } from '../migrations/1795305600004-events-without-state.js';
import { migrations } from '../migrations/index.js';
import { FirstAdmin } from '../src/auth/first-admin.js';
import { createApp } from '../src/create-app.js';
import { dataSourceOptions, pendingMigrations } from '../src/database/data-source.js';
import { migrate } from '../src/database/migrate.js';
import { expectConsistent } from './support/consistency.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { eventually } from './support/process.js';
import { eventRow, insert, type Row } from './support/rows.js';
import { createUser, placeOrder } from './support/samples.js';
import {
  ADMIN_EMAIL,
  ADMIN_PASSWORD,
  startService,
  testConfig,
  type TestService,
} from './support/service.js';

const names = migrations.map(({ name }) => name);

describe('on an empty database', () => {
  let database: TestDatabase;
  const open: DataSource[] = [];
  beforeEach(async () => {
    database = await createDatabase({ empty: true });
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((dataSource) => dataSource.destroy()));
    await database.drop();
  });

  /** A connection of the schema's owner that knows the first `known` migrations. */
  async function connect(known = migrations.length): Promise<DataSource> {
    const options = { ...dataSourceOptions(database.ownerUrl, 1), migrations: migrations.slice(0, known) };
    const dataSource = await new DataSource(options).initialize();
    open.push(dataSource);
    return dataSource;
  }

  it('migrates as the owner; the second time there is nothing to do', async () => {
    expect(await migrate(database.ownerUrl)).toEqual(names);
    const schema = await schemaOf(database);
    expect(await migrate(database.ownerUrl)).toEqual([]);
    expect(await schemaOf(database)).toEqual(schema);
  });

  it('migrates once when two do it at the same time', async () => {
    const done = await Promise.all([migrate(database.ownerUrl), migrate(database.ownerUrl)]);
    expect(done.flat()).toEqual(names);
    expect(await pendingMigrations(await connect())).toEqual([]);
  });

  it('tells what is pending', async () => {
    const dataSource = await connect();
    expect(await pendingMigrations(dataSource)).toEqual(names);
    for (const known of names.keys()) {
      const older = await connect(known + 1);
      await older.runMigrations();
      expect(await pendingMigrations(dataSource)).toEqual(names.slice(known + 1));
    }
  });

  it('goes down and up again with every migration', async () => {
    const schemas = [];
    for (const known of names.keys()) {
      await (await connect(known + 1)).runMigrations();
      schemas.push(await schemaOf(database));
    }
    const newest = await connect();
    for (const known of [...names.keys()].reverse()) {
      expect(await schemaOf(database)).toEqual(schemas[known]);
      await newest.undoLastMigration();
    }
    const rest = await schemaOf(database);
    expect(rest.filter((line) => !/^(column|constraint|grant) migrations /.test(line))).toEqual([]);
    expect(await newest.query('SELECT name FROM migrations')).toEqual([]);

    expect(await migrate(database.ownerUrl)).toEqual(names);
    expect(await schemaOf(database)).toEqual(schemas.at(-1));
  });
});

describe('the migration to events without state', () => {
  const known = names.indexOf(EventsWithoutState1795305600004.name);
  let database: TestDatabase;
  let dataSource: DataSource;
  beforeEach(async () => {
    database = await createDatabase({ empty: true });
    const options = {
      ...dataSourceOptions(database.ownerUrl, 1),
      migrations: migrations.slice(0, known + 1),
    };
    dataSource = await new DataSource(options).initialize();
    await dataSource.runMigrations();
  });
  afterEach(async () => {
    await dataSource.destroy();
    await database.drop();
  });

  const addEvent = async (columns: Row) => {
    const [sql, ...parameters] = insert('audit_events', eventRow('user', randomUUID(), 1, columns));
    await database.query(sql, parameters);
  };

  it('can be taken back while all events have one', async () => {
    await addEvent({ state: Buffer.from('{}'), salt: Buffer.alloc(16) });
    await dataSource.undoLastMigration();
    await expect(addEvent({ subject_version: null })).rejects.toMatchObject({ code: '23502' });
  });

  it.each<[string, Row]>([
    ['without a version', { subject_version: null }],
    ['without a subject', { subject_version: null, subject_id: null }],
  ])('cannot be taken back once there is an event %s, which stays', async (_, columns) => {
    await addEvent(columns);
    const schema = await schemaOf(database);
    await expect(dataSource.undoLastMigration()).rejects.toMatchObject({ driverError: { code: '23502' } });
    expect(await schemaOf(database)).toEqual(schema);
    expect(await database.query('SELECT FROM audit_events')).toHaveLength(1);
    const done = await database.query<{ name: string }>('SELECT name FROM migrations ORDER BY id');
    expect(done.map(({ name }) => name)).toEqual(names.slice(0, known + 1));
  });
});

/** Every object of the schema in a line, with all that defines it. */
async function schemaOf(database: TestDatabase): Promise<string[]> {
  const rows = await database.query<{ line: string }>(`
    WITH tables AS (
      SELECT oid, relname, relacl, relowner FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    )
    SELECT concat_ws(' ', 'column', relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
                     attgenerated, attstattarget, pg_get_expr(adbin, adrelid)) AS line
      FROM tables JOIN pg_attribute ON attrelid = tables.oid AND attnum > 0 AND NOT attisdropped
                  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL SELECT concat_ws(' ', 'constraint', relname, conname, pg_get_constraintdef(pg_constraint.oid))
      FROM tables JOIN pg_constraint ON conrelid = tables.oid
    UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid))
      FROM tables JOIN pg_index ON indrelid = tables.oid WHERE relname <> 'migrations'
    UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(pg_trigger.oid))
      FROM tables JOIN pg_trigger ON tgrelid = tables.oid WHERE NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', 'grant', relname, grantee::regrole, privilege_type)
      FROM tables, aclexplode(coalesce(relacl, acldefault('r', relowner)))
    UNION ALL SELECT concat_ws(' ', 'grant', relname, attname, grantee::regrole, privilege_type)
      FROM tables JOIN pg_attribute ON attrelid = tables.oid, aclexplode(attacl)
    UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(oid))
      FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', 'domain', typname, format_type(typbasetype, typtypmod),
                               (SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint
                                  WHERE contypid = pg_type.oid))
      FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'd'
    UNION ALL SELECT concat_ws(' ', 'type', typname)
      FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'r', 'm')
    ORDER BY 1`);
  return rows.map(({ line }) => line);
}

describe('the migrated schema', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
  });
  afterAll(() => service.stop());

  it('is what the entities say: TypeORM finds nothing to change', async () => {
    const dataSource = service.app.get(DataSource);
    const tables = dataSource.entityMetadatas.map(({ tableName }) => tableName).sort();
    expect(tables).toEqual(['api_key_uses', 'api_keys', 'order_lines', 'orders', 'users']);
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    // Constraints and indexes are written in the migrations alone: TypeORM, which knows no deferred key, no expression
    // in an index and no name of a check, would drop them. That they are there is tested by what they refuse.
    const known =
      /^ALTER TABLE "\w+" DROP CONSTRAINT "\w+_(fkey|check|key)"$|^DROP INDEX "public"\."\w+_(idx|key)"$/;
    expect(upQueries.map(({ query }) => query).filter((query) => !known.test(query))).toEqual([]);
  });

  it('would be found wanting if an entity had another column, type or nullability', async () => {
    const { database } = service;
    for (const [change, undo] of [
      ['ALTER TABLE users ALTER name DROP NOT NULL', 'ALTER TABLE users ALTER name SET NOT NULL'],
      [
        'ALTER TABLE orders ALTER placed_at TYPE timestamptz',
        'ALTER TABLE orders ALTER placed_at TYPE timestamptz(3)',
      ],
      ['ALTER TABLE order_lines RENAME sku TO article', 'ALTER TABLE order_lines RENAME article TO sku'],
    ] as const) {
      await database.query(change);
      try {
        const { upQueries } = await service.app.get(DataSource).driver.createSchemaBuilder().log();
        const queries = upQueries.map(({ query }) => query);
        expect(queries).toContainEqual(expect.stringMatching(/ (ADD|ALTER COLUMN|RENAME COLUMN) "/));
      } finally {
        await database.query(undo);
      }
    }
  });

  it('names every constraint and index after its table and kind', async () => {
    // TypeORM names its own table's key by a hash; NOT NULL is named by PostgreSQL.
    const objects = await service.database.query<{ table: string; name: string; kind: string }>(`
      SELECT relname AS table, conname AS name,
             CASE contype WHEN 'p' THEN 'pkey' WHEN 'u' THEN 'key' WHEN 'f' THEN 'fkey' WHEN 'c' THEN 'check' END AS kind
        FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
        WHERE relnamespace = 'public'::regnamespace AND contype <> 'n' AND relname <> 'migrations'
      UNION ALL
      SELECT tables.relname, indexes.relname, CASE WHEN indisunique THEN 'key' ELSE 'idx' END
        FROM pg_index JOIN pg_class AS tables ON tables.oid = indrelid JOIN pg_class AS indexes ON indexes.oid = indexrelid
        WHERE tables.relnamespace = 'public'::regnamespace AND NOT indisprimary AND tables.relname <> 'migrations'
      UNION ALL
      SELECT typname, conname, 'check' FROM pg_constraint JOIN pg_type ON pg_type.oid = contypid
        WHERE typnamespace = 'public'::regnamespace AND contype = 'c'`);
    expect(objects.length).toBeGreaterThan(40);
    const ill = objects.filter(
      ({ table, name, kind }) => !new RegExp(`^${table}_([a-z_]+_)?${kind}$`).test(name),
    );
    expect(ill).toEqual([]);
  });
});

describe('while a migration is pending', () => {
  it('the service is not ready, and refuses nothing else', async () => {
    const database = await createDatabase();
    const [last] = await database.query<{ timestamp: string; name: string }>(
      'DELETE FROM migrations WHERE name = $1 RETURNING timestamp, name',
      [names.at(-1)],
    );
    const service = await startService({}, database);

    for (const probe of ['ready', 'startup']) {
      const response = await fetch(`${service.url}/health/${probe}`);
      expect([probe, response.status]).toEqual([probe, 503]);
      expect(await response.json()).toMatchObject({
        status: 'error',
        error: {
          migrations: {
            status: 'down',
            message: `Pending: ${names.at(-1)}. Run the migrations (npm run migrate).`,
          },
        },
      });
    }
    expect((await fetch(`${service.url}/health/live`)).status).toBe(200);
    const user = await createUser(service);
    const order = await placeOrder(service, user.id);
    await service.send('get', `/v1/orders/${order.id}`).expect(200);
    await service.send('post', `/v1/orders/${order.id}/cancel`).send({}).expect(200);

    await database.query('INSERT INTO migrations (timestamp, name) VALUES ($1, $2)', [
      last?.timestamp,
      last?.name,
    ]);
    for (const probe of ['ready', 'startup']) {
      expect((await fetch(`${service.url}/health/${probe}`)).status).toBe(200);
    }
    await service.stop();
    await expectConsistent(database);
    await database.drop();
  });

  it('a login without the rights of the service is told from a database that does not answer', async () => {
    const database = await createDatabase();
    await database.query('REVOKE SELECT ON migrations FROM ordo_service');
    const service = await startService({}, database);
    const response = await fetch(`${service.url}/health/ready`);
    expect(await response.json()).toMatchObject({
      details: {
        database: { status: 'up' },
        migrations: { status: 'down', message: 'The login is no member of ordo_service' },
      },
    });
    await service.stop();
    await database.drop();
  });

  it('the service also starts on a database without a schema, and is ready once it is there', async () => {
    const database = await createDatabase({ empty: true });
    const app = await createApp(testConfig(database));
    await app.get(FirstAdmin).ensure();
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    const ready = () => fetch(`${url}/health/ready`);
    const signIn = () =>
      fetch(`${url}/v1/auth/login`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ email: ADMIN_EMAIL, password: ADMIN_PASSWORD }),
      });
    expect((await ready()).status).toBe(503);
    expect((await signIn()).status).toBeGreaterThanOrEqual(500);
    expect(await migrate(database.ownerUrl)).toEqual(names);
    expect((await ready()).status).toBe(200);
    await eventually(async () => expect((await signIn()).status).toBe(200));
    await app.close();
    await expectConsistent(database);
    await database.drop();
  });
});
