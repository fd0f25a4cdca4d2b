import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { createDatabase, type TestDatabase } from './support/database.js';
import { eventRow, insert, lineRow, orderRow, type Row, type Statement, userRow } from './support/rows.js';

// What the database itself promises, whatever program holds the service's login: plain SQL, none of Ordo's code.

const MAX_AMOUNT = 9_007_199_254_740_991;

let database: TestDatabase;
let service: pg.Client;
let owner: pg.Client;
/** A user and an order of the user's, both at version 2 and committed long ago. */
const ada = randomUUID();
const tea = randomUUID();

const subjects = [
  {
    table: 'users',
    type: 'user',
    row: (id: string) => userRow(id),
    touch: 'name = name',
    /** A subject that another transaction has committed at version 2. */
    old: ada,
  },
  {
    table: 'orders',
    type: 'order',
    row: (id: string) => orderRow(id, ada),
    touch: 'note = note',
    old: tea,
  },
];
type Subject = (typeof subjects)[number];

const create = ({ table, row }: Subject, id: string): Statement => insert(table, row(id));
const update = ({ table, touch }: Subject, id: string, version: number): Statement => [
  `UPDATE ${table} SET version = $2, ${touch} WHERE id = $1`,
  id,
  version,
];
const event = ({ type }: Pick<Subject, 'type'>, id: string, version = 1, columns: Row = {}): Statement =>
  insert('audit_events', eventRow(type, id, version, columns));

/**
 * Runs the statements in one transaction and says how it ended: `committed`, or the SQLSTATE and where it came up.
 * A statement that touches no row is a mistake of the test.
 */
async function outcome(client: pg.Client, statements: readonly Statement[]): Promise<string> {
  let place = '';
  await client.query('BEGIN');
  try {
    for (const [index, [sql, ...parameters]] of statements.entries()) {
      place = index === statements.length - 1 ? 'the last statement' : `statement ${index + 1}`;
      const { command, rowCount } = await client.query(sql, parameters);
      if (/^(INSERT|UPDATE|DELETE)$/.test(command)) expect([sql, rowCount]).toEqual([sql, 1]);
    }
    place = 'COMMIT';
    const { command } = await client.query('COMMIT');
    return command === 'COMMIT' ? 'committed' : command;
  } catch (error) {
    await client.query('ROLLBACK');
    if (error instanceof Error && 'code' in error) return `${String(error.code)} at ${place}`;
    throw error;
  }
}

beforeAll(async () => {
  database = await createDatabase();
  service = await database.connect();
  owner = await database.connect(database.ownerUrl);
  const [users, orders] = subjects as [Subject, Subject];
  expect(
    await outcome(service, [
      create(users, ada),
      event(users, ada),
      create(orders, tea),
      insert('order_lines', lineRow(tea)),
      event(orders, tea),
    ]),
  ).toBe('committed');
  expect(
    await outcome(service, [
      update(users, ada, 2),
      event(users, ada, 2),
      update(orders, tea, 2),
      event(orders, tea, 2),
    ]),
  ).toBe('committed');
});
afterAll(() => database.drop());

describe.each(subjects)('$table: no change without its event', (subject) => {
  const { table, type, old } = subject;

  it('takes a row, and later its next version, each with the event', async () => {
    const id = randomUUID();
    expect(await outcome(service, [create(subject, id), event(subject, id)])).toBe('committed');
    expect(await outcome(service, [event(subject, id, 2), update(subject, id, 2)])).toBe('committed');
  });

  it('takes several versions in one transaction, each with its event', async () => {
    const id = randomUUID();
    expect(
      await outcome(service, [
        create(subject, id),
        event(subject, id),
        update(subject, id, 2),
        event(subject, id, 2),
        update(subject, id, 3),
        event(subject, id, 3),
      ]),
    ).toBe('committed');
  });

  it('refuses a row without an event at COMMIT', async () => {
    expect(await outcome(service, [create(subject, randomUUID())])).toBe('23503 at COMMIT');
  });

  it('refuses an update without an event at COMMIT, also of the owner', async () => {
    expect(await outcome(service, [update(subject, old, 3)])).toBe('23503 at COMMIT');
    expect(await outcome(owner, [update(subject, old, 3)])).toBe('23503 at COMMIT');
  });

  it('refuses an update whose event was rolled back with a savepoint', async () => {
    expect(
      await outcome(service, [
        update(subject, old, 3),
        ['SAVEPOINT s'],
        event(subject, old, 3),
        ['ROLLBACK TO s'],
      ]),
    ).toBe('23503 at COMMIT');
  });

  it('refuses an update whose event tells of another version', async () => {
    expect(await outcome(service, [update(subject, old, 3), event(subject, old, 4)])).toBe('23503 at COMMIT');
  });

  it.each([
    ['in a row', [], []],
    ['the first in a savepoint that is released', [['SAVEPOINT s']], [['RELEASE s']]],
    ['the first in a savepoint that stays', [['SAVEPOINT s']], []],
    ['the second in a savepoint', [], [['SAVEPOINT s']]],
  ] as [string, Statement[], Statement[]][])(
    'refuses two updates with one event, %s',
    async (_, before, after) => {
      expect(
        await outcome(service, [...before, update(subject, old, 3), ...after, update(subject, old, 4)]),
      ).toBe('23000 at the last statement');
    },
  );

  it('refuses the second update also when the one event is there first', async () => {
    expect(
      await outcome(service, [event(subject, old, 4), update(subject, old, 3), update(subject, old, 4)]),
    ).toBe('23000 at the last statement');
  });

  it('refuses an insert and an update with one event', async () => {
    const id = randomUUID();
    expect(await outcome(service, [create(subject, id), update(subject, id, 2)])).toBe(
      '23000 at the last statement',
    );
  });

  it('refuses an upsert that skips the event of the first version', async () => {
    const id = randomUUID();
    const [sql, ...parameters] = create(subject, id);
    const upsert = `${sql} ON CONFLICT (id) DO UPDATE SET version = ${table}.version + 1`;
    expect(await outcome(service, [create(subject, id), [upsert, ...parameters]])).toBe(
      '23000 at the last statement',
    );
  });

  it('is not fooled by a temporary table in the place of the audit trail', async () => {
    expect(
      await outcome(service, [
        ['CREATE TEMPORARY TABLE audit_events (subject_id uuid, subject_version integer) ON COMMIT DROP'],
        ['INSERT INTO audit_events VALUES ($1, 2)', old],
        ['INSERT INTO audit_events VALUES ($1, 3)', old],
        update(subject, old, 3),
        update(subject, old, 4),
      ]),
    ).toBe('23000 at the last statement');
  });

  it('starts at version 1', async () => {
    const id = randomUUID();
    for (const version of [0, 2]) {
      const row = { ...subject.row(id), version };
      expect(await outcome(service, [insert(table, row)])).toBe('23000 at the last statement');
    }
  });

  it.each([
    ['skips one', 4],
    ['stays', 2],
    ['goes down', 1],
  ])('refuses an update whose version %s', async (_, version) => {
    for (const client of [service, owner]) {
      expect(await outcome(client, [update(subject, old, version)])).toBe('23000 at the last statement');
    }
  });

  it('refuses an update that leaves the version alone', async () => {
    const { touch } = subject;
    expect(await outcome(service, [[`UPDATE ${table} SET ${touch} WHERE id = $1`, old]])).toBe(
      '23000 at the last statement',
    );
  });

  it('never changes an id, not even for the owner', async () => {
    const sql = `UPDATE ${table} SET id = $2, version = 3 WHERE id = $1`;
    expect(await outcome(owner, [[sql, old, randomUUID()]])).toBe('23000 at the last statement');
    expect(await outcome(service, [[sql, old, randomUUID()]])).toBe('42501 at the last statement');
  });

  it('takes one event for a version', async () => {
    expect(await outcome(service, [event({ type }, old, 2)])).toBe('23505 at the last statement');
    expect(await outcome(service, [event({ type }, old, 3), event({ type }, old, 3)])).toBe(
      '23505 at the last statement',
    );
  });
});

describe('order_lines: part of the change of their order', () => {
  const orders = subjects[1]!;
  const line = (columns: Row = {}, id = tea) =>
    insert('order_lines', lineRow(id, { position: 2, ...columns }));

  // The trigger is looked at alone, with versions that lines cannot have, but later children of an order will.
  const VERSION_CHECK = 'CONSTRAINT order_lines_order_version_check';
  beforeAll(() => database.query(`ALTER TABLE order_lines DROP ${VERSION_CHECK}`));
  afterAll(() =>
    database.query(`ALTER TABLE order_lines ADD ${VERSION_CHECK} CHECK (order_version = 1) NOT VALID`),
  );

  it.each([
    ['with the version of long ago', { order_version: 1 }],
    ['with the current version', { order_version: 2 }],
    ['with a version to come', { order_version: 3 }],
  ])('refuses a line for an order that does not change, %s', async (_, columns) => {
    expect(await outcome(service, [line(columns)])).toBe('23000 at the last statement');
    expect(await outcome(service, [['SAVEPOINT s'], line(columns)])).toBe('23000 at the last statement');
  });

  it('refuses a line with an event but without a change', async () => {
    expect(await outcome(service, [event(orders, tea, 3), line({ order_version: 3 })])).toBe(
      '23000 at the last statement',
    );
  });

  it('refuses a line with another version than that of the change', async () => {
    expect(
      await outcome(service, [update(orders, tea, 3), event(orders, tea, 3), line({ order_version: 2 })]),
    ).toBe('23000 at the last statement');
  });

  it('refuses a line when the change was rolled back with a savepoint', async () => {
    expect(
      await outcome(service, [
        ['SAVEPOINT s'],
        update(orders, tea, 3),
        ['ROLLBACK TO s'],
        line({ order_version: 2 }),
      ]),
    ).toBe('23000 at the last statement');
  });

  it('refuses a line before its order', async () => {
    expect(await outcome(service, [line({}, randomUUID())])).toMatch(/^(23000|23503) at the last statement$/);
  });

  it('is not fooled by a temporary table in the place of the orders', async () => {
    expect(
      await outcome(service, [
        ['CREATE TEMPORARY TABLE orders (id uuid, version integer) ON COMMIT DROP'],
        ['INSERT INTO orders VALUES ($1, 2)', tea],
        line({ order_version: 2 }),
      ]),
    ).toBe('23000 at the last statement');
  });

  it('refuses an order with lines and no event at COMMIT', async () => {
    const id = randomUUID();
    expect(await outcome(service, [create(orders, id), line({}, id)])).toBe('23503 at COMMIT');
  });

  it('never changes nor loses a line, not even for the owner', async () => {
    const change: Statement = ['UPDATE order_lines SET name = name WHERE order_id = $1', tea];
    const removal: Statement = ['DELETE FROM order_lines WHERE order_id = $1', tea];
    for (const statement of [change, removal]) {
      expect(await outcome(service, [statement])).toBe('42501 at the last statement');
      expect(await outcome(owner, [statement])).toBe('23001 at the last statement');
    }
  });
});

it('order_lines: come with the placement alone', async () => {
  const orders = subjects[1]!;
  const line = insert('order_lines', lineRow(tea, { position: 2, order_version: 3 }));
  expect(await outcome(service, [update(orders, tea, 3), event(orders, tea, 3), line])).toBe(
    '23514 at the last statement',
  );
});

describe('nothing is deleted', () => {
  const tables = ['users', 'orders', 'order_lines', 'audit_events'];

  it.each(tables)('refuses to delete from or to truncate %s: the service lacks the right', async (table) => {
    expect(await outcome(service, [[`DELETE FROM ${table}`]])).toBe('42501 at the last statement');
    expect(await outcome(service, [[`TRUNCATE ${table} CASCADE`]])).toBe('42501 at the last statement');
  });

  it.each(tables)('refuses to delete from or to truncate %s: a trigger stops the owner', async (table) => {
    expect(await outcome(owner, [[`DELETE FROM ${table}`]])).toBe('23001 at the last statement');
    // CASCADE would be stopped by the tables below as well: the message tells whose trigger it was.
    await expect(owner.query(`TRUNCATE ${table} CASCADE`)).rejects.toMatchObject({
      code: '23001',
      message: `TRUNCATE of ${table} is refused`,
    });
  });
});

describe('audit_events', () => {
  it.each(['entry', 'state', 'salt', 'at', 'subject_version', 'actor_type'])(
    'never changes %s',
    async (column) => {
      const statement: Statement = [`UPDATE audit_events SET ${column} = ${column}`];
      expect(await outcome(service, [statement])).toBe('42501 at the last statement');
      expect(await outcome(owner, [statement])).toBe('23001 at the last statement');
    },
  );

  it.each([
    ['seq', 1, '428C9'],
    ['xid', '3', '42501'],
    ['recorded_at', '2020-01-01', '42501'],
    ['leaf_hash', Buffer.alloc(32), '428C9'],
  ])('lets nobody forge %s', async (column, value, state) => {
    const forged = event({ type: 'user' }, randomUUID(), 1, { [column]: value });
    expect(await outcome(service, [forged])).toBe(`${state} at the last statement`);
    const [sql, ...parameters] = forged;
    const overriding = sql.replace(') VALUES', ') OVERRIDING SYSTEM VALUE VALUES');
    const refused = column === 'leaf_hash' ? '428C9' : '42501';
    expect(await outcome(service, [[overriding, ...parameters]])).toBe(`${refused} at the last statement`);
  });

  it.each(['seq', 'leaf_hash'])('makes %s itself, also for the owner', async (column) => {
    const value = column === 'seq' ? 1 : Buffer.alloc(32);
    expect(await outcome(owner, [event({ type: 'user' }, randomUUID(), 1, { [column]: value })])).toBe(
      '428C9 at the last statement',
    );
  });

  it('hashes the entry as a leaf of an RFC 6962 tree', async () => {
    const id = randomUUID();
    const entry = randomBytes(300);
    const before = Date.now();
    expect(await outcome(service, [event({ type: 'test' }, id, 1, { entry })])).toBe('committed');
    const [row] = await database.query<{ leaf_hash: Buffer; recorded_at: Date }>(
      'SELECT leaf_hash, recorded_at FROM audit_events WHERE subject_id = $1',
      [id],
    );
    const expected = createHash('sha256').update(Buffer.of(0)).update(entry).digest('hex');
    expect(row?.leaf_hash.toString('hex')).toBe(expected);
    expect(row?.recorded_at.getTime()).toBeGreaterThanOrEqual(before);
  });

  it('takes entries of up to 65,535 bytes', async () => {
    const ofSize = (bytes: number) =>
      event({ type: 'test' }, randomUUID(), 1, { entry: Buffer.alloc(bytes) });
    expect(await outcome(service, [ofSize(65_535)])).toBe('committed');
    expect(await outcome(service, [ofSize(65_536)])).toBe('23514 at the last statement');
  });

  it.each([
    ['an unknown kind of actor', { actor_type: 'somebody' }],
    ['a version 0', { subject_version: 0 }],
  ])('refuses %s', async (_, columns) => {
    expect(await outcome(service, [event({ type: 'test' }, randomUUID(), 1, columns)])).toBe(
      '23514 at the last statement',
    );
  });
});

describe('amounts', () => {
  const orders = subjects[1]!;

  it.each<[string, Row]>([
    ['a total that is not the sum', { total: 1_101 }],
    ['a discount that the total ignores', { discount: 0 }],
    ['shipping that the total ignores', { shipping: 0 }],
    ['more refunded than paid', { paid: 100, refunded: 101 }],
    ['a negative amount', { paid: -1 }],
    ['a negative total', { subtotal: 0, tax: 0, shipping: 0, total: -100 }],
    ['an amount beyond 2^53 - 1', { paid: MAX_AMOUNT + 1 }],
    [
      'a total beyond 2^53 - 1',
      { subtotal: MAX_AMOUNT, discount: 0, tax: 1, shipping: 0, total: MAX_AMOUNT + 1 },
    ],
    ['an unknown status', { status: 'lost' }],
    ['an unknown payment status', { payment_status: 'lost' }],
    ['an unknown fulfillment status', { fulfillment_status: 'lost' }],
    ['a currency in small letters', { currency: 'eur' }],
    ['metadata that is no object', { metadata: '[]' }],
    ['an end before the beginning', { updated_at: '2000-01-01' }],
  ])('refuses an order with %s', async (_, columns) => {
    const statement = insert('orders', orderRow(randomUUID(), ada, columns));
    expect(await outcome(service, [statement])).toBe('23514 at the last statement');
  });

  it.each<[string, Row]>([
    ['a subtotal that is not quantity x unit price', { subtotal: 1_001, total: 1_072 }],
    ['a subtotal beyond a bigint', { quantity: 1_000_000, unit_price: MAX_AMOUNT }],
    ['a total that is not the sum', { total: 1_072 }],
    ['a quantity of 0', { quantity: 0, subtotal: 0, discount: 0, total: 171 }],
    ['a quantity above a million', { quantity: 1_000_001, subtotal: 500_000_500, total: 500_000_571 }],
    ['a discount above the whole', { discount_ppm: 1_000_001 }],
    ['a negative tax rate', { tax_ppm: -1 }],
    ['a unit price beyond 2^53 - 1', { unit_price: MAX_AMOUNT + 1 }],
    ['position 0', { position: 0 }],
    ['position 201', { position: 201 }],
  ])('refuses a line with %s', async (_, columns) => {
    const id = randomUUID();
    const statement = insert('order_lines', lineRow(id, columns));
    expect(await outcome(service, [create(orders, id), statement])).toBe('23514 at the last statement');
  });

  it('takes the greatest amounts that JSON carries', async () => {
    const id = randomUUID();
    const most = { subtotal: MAX_AMOUNT, discount: 0, tax: 0, total: MAX_AMOUNT };
    expect(
      await outcome(service, [
        insert('orders', orderRow(id, ada, { ...most, shipping: 0 })),
        insert('order_lines', lineRow(id, { ...most, quantity: 1, unit_price: MAX_AMOUNT })),
        event(orders, id),
      ]),
    ).toBe('committed');
  });

  it('refuses more refunded than paid also later', async () => {
    const statement: Statement = ['UPDATE orders SET version = 3, paid = 5, refunded = 6 WHERE id = $1', tea];
    expect(await outcome(service, [statement])).toBe('23514 at the last statement');
  });
});

describe('the service', () => {
  it.each([
    ['users', ['id', 'created_at']],
    ['orders', ['id', 'user_id', 'reference', 'currency', 'placed_at', 'created_at']],
    ['orders', ['subtotal', 'discount', 'tax', 'shipping', 'total']],
    ['order_lines', ['order_version', 'quantity', 'total']],
    ['idempotency_keys', ['fingerprint', 'event_id', 'created_at']],
    ['migrations', ['name']],
  ])('may not change columns of %s that stay as they were: %j', async (table, columns) => {
    for (const column of columns) {
      const statement: Statement = [`UPDATE ${table} SET ${column} = ${column}`];
      expect([column, await outcome(service, [statement])]).toEqual([column, '42501 at the last statement']);
    }
  });

  it.each([
    'CREATE TABLE public.mine (id integer)',
    'CREATE SCHEMA mine',
    'CREATE FUNCTION public.mine() RETURNS integer LANGUAGE sql RETURN 1',
    'CREATE INDEX ON users (name)',
    'CREATE ROLE mine',
    'ALTER TABLE users ADD COLUMN mine integer',
    'ALTER TABLE users DISABLE TRIGGER ALL',
    'ALTER TABLE users DROP CONSTRAINT users_event_fkey',
    'ALTER SEQUENCE audit_events_seq_seq RESTART',
    'DROP TRIGGER users_next_version ON users',
    'DROP TABLE users CASCADE',
    'DROP FUNCTION refuse_version CASCADE',
    'CREATE OR REPLACE FUNCTION refuse_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$',
    'SET session_replication_role = replica',
    'SET ROLE ordo_owner',
    "SELECT setval('audit_events_seq_seq', 1)",
    "SELECT nextval('audit_events_seq_seq')",
    "INSERT INTO migrations (timestamp, name) VALUES (1, 'Mine')",
    'DELETE FROM migrations',
  ])('may not %s', async (sql) => {
    expect(await outcome(service, [[sql]])).toBe('42501 at the last statement');
  });

  it('is neither superuser nor owner, and no member of a role but its own', async () => {
    const { rows } = await service.query<Record<string, unknown>>(`
      SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
             ARRAY(SELECT granted.rolname::text FROM pg_auth_members JOIN pg_roles AS granted ON granted.oid = roleid
                     WHERE member = pg_roles.oid) AS member_of
        FROM pg_roles WHERE rolname = current_user`);
    expect(rows).toEqual([
      {
        rolname: 'ordo_app',
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        member_of: ['ordo_service'],
      },
    ]);
    const owners = await database.query<{ owner: string }>(`
      SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
      UNION SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
      UNION SELECT pg_get_userbyid(typowner) FROM pg_type WHERE typnamespace = 'public'::regnamespace`);
    expect(owners).toEqual([{ owner: 'ordo_owner' }]);
  });

  it('has every right by name: none on tables to come, none to PUBLIC', async () => {
    const rights = await database.query(`
      SELECT relname AS table, coalesce(pg_get_userbyid(nullif(grantee, 0)), 'PUBLIC') AS role,
             string_agg(privilege_type, ', ' ORDER BY privilege_type) AS rights
        FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner)))
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND grantee <> relowner
        GROUP BY 1, 2 ORDER BY 1, 2`);
    expect(rights).toEqual([
      { table: 'audit_events', role: 'ordo_service', rights: 'SELECT' },
      { table: 'idempotency_keys', role: 'ordo_service', rights: 'DELETE, INSERT, SELECT' },
      { table: 'migrations', role: 'ordo_service', rights: 'SELECT' },
      { table: 'order_lines', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'orders', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'users', role: 'ordo_service', rights: 'INSERT, SELECT' },
    ]);
    expect(await database.query('SELECT * FROM pg_default_acl')).toEqual([]);
  });

  it('has time limits on its role, so that they hold behind a pooler', async () => {
    const [role] = await database.query<{ rolconfig: string[] }>(
      `SELECT rolconfig FROM pg_roles WHERE rolname = 'ordo_app'`,
    );
    const names = ['idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout'];
    expect(role?.rolconfig.map((setting) => setting.split('=')[0]).sort()).toEqual(names);
    const { rows } = await service.query<{ name: string; setting: string; source: string }>(
      'SELECT name, setting::integer, source FROM pg_settings WHERE name = ANY($1) ORDER BY name',
      [names],
    );
    expect(rows.map(({ name, source }) => ({ name, source }))).toEqual(
      names.map((name) => ({ name, source: 'user' })),
    );
    const [idle, lock, statement] = rows.map(({ setting }) => Number(setting));
    // A duplicate waits for 5 s at most; a statement ends before the request does (30 s).
    expect(lock).toBe(5_000);
    expect(statement).toBeGreaterThan(5_000);
    expect(statement).toBeLessThan(30_000);
    expect(idle).toBeGreaterThan(0);
  });
});
