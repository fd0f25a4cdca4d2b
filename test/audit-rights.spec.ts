import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { StartupError } from '../src/config/startup-error.js';
import { dataSourceOptions } from '../src/database/data-source.js';
import { refuseMightyLogin } from '../src/database/login-rights.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { addEvent } from './support/log.js';
import { createFolder, startProcess } from './support/process.js';
import { eventRow, insert } from './support/rows.js';

// What the logins of the service can do to the audit log, whatever program holds them.

let database: TestDatabase;
const clients = new Map<string, pg.Client>();
const client = (role: string) => clients.get(role)!;

beforeAll(async () => {
  database = await createDatabase();
  for (const role of ['service', 'sealer']) clients.set(role, await database.connect());
  clients.set('owner', await database.connect(database.ownerUrl));
  await client('sealer').query('SET ROLE ordo_sealer');
  await addEvent(client('service'));
});
afterAll(() => database.drop());

/** SQLSTATE and message of a statement, which changes nothing in any case; SQLSTATE 00000 where it is let through. */
async function outcome(role: string, sql: string, parameters: unknown[] = []): Promise<[string, string]> {
  await client(role).query('BEGIN');
  try {
    await client(role).query(sql, parameters);
    return ['00000', ''];
  } catch (error) {
    return [String(Reflect.get(error as object, 'code')), String(Reflect.get(error as object, 'message'))];
  } finally {
    await client(role).query('ROLLBACK');
  }
}

const COLUMNS = {
  audit_events: [
    'seq',
    'id',
    'xid',
    'at',
    'recorded_at',
    'entry',
    'leaf_hash',
    'salt',
    'state',
    'subject_version',
  ],
  audit_leaves: ['leaf_index', 'event_seq', 'hash'],
  audit_subtrees: ['level', 'position', 'hash'],
  audit_gaps: ['first_seq', 'last_seq', 'horizon'],
  audit_sealing: ['singleton', 'last_seq'],
  audit_checkpoints: ['origin', 'size', 'root', 'note', 'created_at'],
};
const tables = Object.entries(COLUMNS);
/** Rows that an INSERT could have. */
const VALUES: Record<string, string> = {
  audit_leaves: `VALUES (0, 1, sha256(''))`,
  audit_subtrees: `VALUES (1, 0, sha256(''))`,
  audit_gaps: `VALUES (1, 1, '1')`,
  audit_sealing: `VALUES (false, 1)`,
  audit_checkpoints: `(origin, size, root, note) VALUES ('', 0, sha256(''), '')`,
};
const APPEND_ONLY = ['audit_events', 'audit_leaves', 'audit_subtrees', 'audit_checkpoints'];

it('are asked about every table of the audit log', async () => {
  const found = await database.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class
      WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace AND relname LIKE 'audit%'`,
  );
  expect(found.map(({ name }) => name).sort()).toEqual(Object.keys(COLUMNS).sort());
});

it('are these and no others', async () => {
  const granted = await database.query<{ grant: string }>(
    `SELECT concat_ws(' ', grantee, privilege_type, table_name) AS grant FROM information_schema.table_privileges
      WHERE table_name LIKE 'audit%' AND grantee <> 'ordo_owner'
     UNION ALL
     SELECT concat_ws(' ', grantee, privilege_type, table_name, string_agg(column_name, ' ' ORDER BY ordinal_position))
       FROM information_schema.column_privileges JOIN information_schema.columns
            USING (table_schema, table_name, column_name)
      WHERE table_name LIKE 'audit%' AND grantee <> 'ordo_owner' AND (grantee, privilege_type, table_name::text) NOT IN (
            SELECT grantee, privilege_type, table_name::text FROM information_schema.table_privileges)
      GROUP BY grantee, privilege_type, table_name
     ORDER BY 1`,
  );
  expect(granted.map(({ grant }) => grant)).toEqual([
    'ordo_sealer DELETE audit_gaps',
    'ordo_sealer INSERT audit_checkpoints origin size root note',
    'ordo_sealer INSERT audit_gaps',
    'ordo_sealer INSERT audit_leaves',
    'ordo_sealer INSERT audit_subtrees',
    'ordo_sealer SELECT audit_checkpoints',
    'ordo_sealer SELECT audit_events seq leaf_hash',
    'ordo_sealer SELECT audit_gaps',
    'ordo_sealer SELECT audit_leaves',
    'ordo_sealer SELECT audit_sealing',
    'ordo_sealer SELECT audit_subtrees',
    'ordo_sealer UPDATE audit_sealing last_seq',
    'ordo_service INSERT audit_events id at actor_type actor_id action subject_type subject_id subject_version request_id entry salt state',
    'ordo_service SELECT audit_checkpoints',
    'ordo_service SELECT audit_events',
    'ordo_service SELECT audit_gaps',
    'ordo_service SELECT audit_leaves',
    'ordo_service SELECT audit_sealing',
    'ordo_service SELECT audit_subtrees',
  ]);
});

describe.each(['service', 'sealer'])('the %s', (role) => {
  describe.each(tables)('and %s', (table, columns) => {
    it.each(columns)('never changes %s', async (column) => {
      const [state] = await outcome(role, `UPDATE ${table} SET ${column} = ${column}`);
      const isMadeByDatabase = table === 'audit_events' && (column === 'seq' || column === 'leaf_hash');
      const isCounter = role === 'sealer' && `${table}.${column}` === 'audit_sealing.last_seq';
      expect(state).toBe(isCounter ? '00000' : isMadeByDatabase ? '428C9' : '42501');
    });

    it.each([
      `DELETE FROM ${table}`,
      `TRUNCATE ${table} CASCADE`,
      `DROP TABLE ${table} CASCADE`,
      `ALTER TABLE ${table} ADD sneaked integer`,
      `ALTER TABLE ${table} DISABLE TRIGGER ALL`,
      `ALTER TABLE ${table} DISABLE TRIGGER USER`,
      `ALTER TABLE ${table} OWNER TO CURRENT_USER`,
      `CREATE TRIGGER sneaked BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION refuse_change()`,
      `CREATE RULE sneaked AS ON INSERT TO ${table} DO INSTEAD NOTHING`,
      `LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`,
      `COPY ${table} TO PROGRAM 'true'`,
      `DROP INDEX ${table}_pkey`,
    ])('refuses %s', async (sql) => {
      const mayDelete = role === 'sealer' && table === 'audit_gaps' && /^(DELETE|LOCK)/.test(sql);
      expect((await outcome(role, sql))[0]).toBe(mayDelete ? '00000' : '42501');
    });
  });

  it.each([
    `SET session_replication_role = replica`,
    `SET ROLE ordo_owner`,
    `SET SESSION AUTHORIZATION ordo_owner`,
    `CREATE TABLE public.sneaked ()`,
    `CREATE FUNCTION public.sneaked() RETURNS void LANGUAGE sql AS ''`,
    `CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
    `ALTER FUNCTION take_transaction_number() SET search_path = public`,
    `DROP FUNCTION refuse_change CASCADE`,
    `SELECT setval('audit_events_seq_seq', 1)`,
    `SELECT nextval('audit_events_seq_seq')`,
    `ALTER SEQUENCE audit_events_seq_seq RESTART`,
    `ALTER ROLE ordo_app SUPERUSER`,
    `SELECT pg_read_file('PG_VERSION')`,
  ])('may not %s', async (sql) => {
    expect((await outcome(role, sql))[0]).toBe('42501');
  });

  it.each([
    ['seq', 1],
    ['xid', '3'],
    ['recorded_at', '2020-01-01'],
    ['leaf_hash', Buffer.alloc(32)],
  ])('forges no %s, nor overrides what the database makes', async (column, value) => {
    const [sql, ...parameters] = insert(
      'audit_events',
      eventRow('user', randomUUID(), 1, { [column]: value }),
    );
    const overriding = sql.replace(') VALUES', ') OVERRIDING SYSTEM VALUE VALUES');
    for (const statement of [sql, overriding]) {
      expect((await outcome(role, statement, parameters))[0]).toMatch(/^(42501|428C9)$/);
    }
  });
});

describe('the service, which is not the sealer before it says so,', () => {
  it.each(Object.keys(VALUES))('inserts nothing into %s', async (table) => {
    expect((await outcome('service', `INSERT INTO ${table} ${VALUES[table]}`))[0]).toBe('42501');
  });
});

describe('the sealer', () => {
  it.each(['audit_leaves', 'audit_subtrees', 'audit_gaps', 'audit_checkpoints'])(
    'adds to %s',
    async (table) => {
      expect(await outcome('sealer', `INSERT INTO ${table} ${VALUES[table]}`)).toEqual(['00000', '']);
    },
  );

  it('makes no event, no second counter and no time of a checkpoint', async () => {
    const [sql, ...parameters] = insert('audit_events', eventRow('user', randomUUID()));
    expect((await outcome('sealer', sql, parameters))[0]).toBe('42501');
    expect((await outcome('sealer', `INSERT INTO audit_sealing ${VALUES.audit_sealing}`))[0]).toBe('42501');
    const dated = `INSERT INTO audit_checkpoints VALUES ('', 0, sha256(''), '', '2020-01-01')`;
    expect((await outcome('sealer', dated))[0]).toBe('42501');
  });

  it('reads numbers and hashes of events, nothing that they say and no other table', async () => {
    expect(await outcome('sealer', 'SELECT seq, leaf_hash FROM audit_events')).toEqual(['00000', '']);
    for (const column of ['entry', 'state', 'salt', 'actor_id', 'subject_id', 'request_id']) {
      expect((await outcome('sealer', `SELECT ${column} FROM audit_events`))[0]).toBe('42501');
    }
    const others = await database.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT LIKE 'audit%'`,
    );
    expect(others.length).toBeGreaterThan(8);
    for (const { name } of others) {
      expect([name, (await outcome('sealer', `SELECT FROM ${name}`))[0]]).toEqual([name, '42501']);
    }
  });
});

describe('a trigger stops also the owner', () => {
  beforeAll(async () => {
    await client('owner').query(`INSERT INTO audit_leaves ${VALUES.audit_leaves}`);
    await client('owner').query(`INSERT INTO audit_subtrees ${VALUES.audit_subtrees}`);
    await client('owner').query(`INSERT INTO audit_checkpoints ${VALUES.audit_checkpoints}`);
  });

  it.each(APPEND_ONLY)('who would change, delete from or truncate %s', async (table) => {
    const column = table === 'audit_events' ? 'entry' : (COLUMNS[table as keyof typeof COLUMNS].at(-1) ?? '');
    expect(await outcome('owner', `UPDATE ${table} SET ${column} = ${column}`)).toEqual([
      '23001',
      `UPDATE of ${table} is refused`,
    ]);
    expect(await outcome('owner', `DELETE FROM ${table}`)).toEqual([
      '23001',
      `DELETE of ${table} is refused`,
    ]);
    expect(await outcome('owner', `TRUNCATE ${table} CASCADE`)).toEqual([
      '23001',
      `TRUNCATE of ${table} is refused`,
    ]);
  });
});

describe('production takes a login that is a member of ordo_service, and none that', () => {
  /** A login of its own with these attributes and grants (which name it LOGIN): what `work` makes of its URL. */
  async function withLogin<T>(
    attributes: string,
    grants: readonly string[],
    work: (url: string, role: string) => Promise<T>,
  ): Promise<T> {
    const role = `test_${randomBytes(6).toString('hex')}`;
    const url = new URL(database.serviceUrl);
    [url.username, url.password] = [role, role];
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD '${role}' IN ROLE ordo_service ${attributes}`);
    for (const grant of grants) await database.query(grant.replace('LOGIN', role));
    try {
      return await work(url.href, role);
    } finally {
      await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  }

  const verdict = (attributes: string, grants: readonly string[] = []) =>
    withLogin(attributes, grants, async (url, role) => {
      const dataSource = await new DataSource(dataSourceOptions(url, 1)).initialize();
      const error: unknown = await refuseMightyLogin(dataSource).catch((reason: unknown) => reason);
      await dataSource.destroy();
      if (error === undefined) return 'taken';
      if (!(error instanceof StartupError)) throw new Error('It failed otherwise', { cause: error });
      expect(error.message).not.toContain(role);
      return error.message;
    });

  it.each([
    ['is a superuser', 'SUPERUSER', [], /^DATABASE_URL: its login is a superuser/],
    ['is a member of the owner', '', ['GRANT ordo_owner TO LOGIN'], /^DATABASE_URL: .* owner/],
    [
      'could become the owner',
      '',
      ['GRANT ordo_owner TO LOGIN WITH INHERIT FALSE'],
      /^DATABASE_URL: .* owner/,
    ],
    ['makes roles', 'CREATEROLE', [], /^DATABASE_URL: .*CREATEROLE/],
    ['may delete events', '', ['GRANT DELETE ON audit_events TO LOGIN'], /^DATABASE_URL: .* audit trail/],
    ['writes everywhere', '', ['GRANT pg_write_all_data TO LOGIN'], /^DATABASE_URL: .* audit trail/],
  ] as [string, string, string[], RegExp][])('%s', async (_, attributes, grants, line) => {
    expect(await verdict(attributes, grants)).toMatch(line);
    expect(await verdict('')).toBe('taken');
  });

  it('is a member of the owner of the tables, though not of that of the database', async () => {
    const [{ name }] = (await database.query<{ name: string }>('SELECT current_database() AS name')) as [
      { name: string },
    ];
    await database.query(`ALTER DATABASE ${name} OWNER TO postgres`);
    expect(await verdict('', ['GRANT ordo_owner TO LOGIN WITH INHERIT FALSE'])).toMatch(/owner/);
    await database.query(`ALTER DATABASE ${name} OWNER TO ordo_owner`);
  });

  it('keeps the process from starting', async () => {
    const pem = () =>
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const { folder, remove } = await createFolder();
    await withLogin('SUPERUSER', [], async (url) => {
      const service = startProcess(folder, {
        NODE_ENV: 'production',
        DATABASE_URL: url,
        ORDO_SECRET: 'a secret of the tests, 32 characters or more',
        JWT_KEYS: pem(),
        AUDIT_SIGNING_KEY: pem(),
        AUDIT_ORIGIN: 'log.example/orders',
      });
      expect(await service.exited()).toBe(1);
      expect(service.lines.at(-1)).toMatch(/^ordo: DATABASE_URL: its login is a superuser/);
    });
    await remove();
  });
});
