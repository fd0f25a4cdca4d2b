import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { type Transition, transitions } from '../src/orders/life-cycle.js';
import { orderStatuses } from '../src/orders/status.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { eventually } from './support/process.js';
import { eventRow, insert, lineRow, orderRow, type Row, type Statement, userRow } from './support/rows.js';

// What the database itself promises, whatever program holds the service's login: plain SQL, none of Ordo's code.

const MAX_AMOUNT = 9_007_199_254_740_991;

let database: TestDatabase;
let service: pg.Client;
let owner: pg.Client;
/** A user, an order of the user's and an API key, all at version 2 and committed long ago. */
const ada = randomUUID();
const tea = randomUUID();
const warehouse = randomUUID();

/** An API key at version 1, the first of its name. */
function apiKeyRow(id: string, columns: Row = {}): Row {
  return {
    id,
    version: 1,
    name: `key ${id}`,
    slot: 1,
    scopes: ['orders:read'],
    secret_hash: Buffer.alloc(32),
    created_at: '2026-01-02T03:04:05.678Z',
    updated_at: '2026-01-02T03:04:05.678Z',
    ...columns,
  };
}

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
  {
    table: 'api_keys',
    type: 'api-key',
    row: (id: string) => apiKeyRow(id),
    touch: 'revoked_at = revoked_at',
    old: warehouse,
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
  const [users, orders, keys] = subjects as [Subject, Subject, Subject];
  expect(
    await outcome(service, [
      create(users, ada),
      event(users, ada),
      create(orders, tea),
      insert('order_lines', lineRow(tea)),
      event(orders, tea),
      create(keys, warehouse),
      event(keys, warehouse),
    ]),
  ).toBe('committed');
  expect(
    await outcome(service, [
      update(users, ada, 2),
      event(users, ada, 2),
      update(orders, tea, 2),
      event(orders, tea, 2),
      update(keys, warehouse, 2),
      event(keys, warehouse, 2),
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
  const tables = ['users', 'orders', 'order_lines', 'api_keys', 'audit_events'];

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

describe('events of what changes no subject', () => {
  const happened = (columns: Row = {}, id = ada) =>
    event({ type: 'user' }, id, 1, { subject_version: null, ...columns });

  it('are taken with a subject or without one, as often as it happens', async () => {
    expect(
      await outcome(service, [
        happened(),
        happened(),
        happened({ subject_id: null }),
        happened({ subject_id: null }),
        happened({}, randomUUID()),
      ]),
    ).toBe('committed');
  });

  it.each<[string, Row]>([
    ['a state', { state: Buffer.from('{}') }],
    ['a salt', { salt: Buffer.alloc(16) }],
    [
      'a state, a salt and no subject',
      { state: Buffer.from('{}'), salt: Buffer.alloc(16), subject_id: null },
    ],
    ['a version of no subject', { subject_id: null, subject_version: 1 }],
  ])('are refused with %s, also of the owner', async (_, columns) => {
    for (const client of [service, owner]) {
      expect(await outcome(client, [happened(columns)])).toBe('23514 at the last statement');
    }
  });

  it('stand for no change', async () => {
    const users = subjects[0]!;
    const id = randomUUID();
    expect(await outcome(service, [create(users, id), happened({}, id)])).toBe('23503 at COMMIT');
    expect(await outcome(service, [update(users, ada, 3), happened()])).toBe('23503 at COMMIT');
  });
});

/** A user with this role, with the event. */
const createUser = (id: string, columns: Row): Statement[] => [
  insert('users', userRow(id, columns)),
  event({ type: 'user' }, id),
];
/** A change of the user to the second version, with the event. */
const changeUser = (id: string, change: string): [Statement, Statement] => [
  event({ type: 'user' }, id, 2),
  [`UPDATE users SET version = 2, ${change} WHERE id = $1`, id],
];

describe('where there is an active admin, there is one for ever', () => {
  let realm: TestDatabase;
  let one: pg.Client;
  let other: pg.Client;
  const [ann, bob] = [randomUUID(), randomUUID()];
  const DEMOTED = `role = 'staff'`;
  const SUSPENDED = `status = 'suspended'`;
  const ERASED = `status = 'erased', name = 'Erased user', email = id || '@erased.invalid'`;

  beforeEach(async () => {
    realm = await createDatabase();
    [one, other] = [await realm.connect(), await realm.connect()];
    expect(await outcome(one, createUser(ann, { role: 'admin' }))).toBe('committed');
  });
  afterEach(() => realm.drop());

  async function addBob(columns: Row = {}): Promise<void> {
    expect(await outcome(one, createUser(bob, { role: 'admin', ...columns }))).toBe('committed');
  }

  async function activeAdmins(): Promise<number> {
    return (await realm.query(`SELECT FROM users WHERE role = 'admin' AND status = 'active'`)).length;
  }

  async function untilWaiting(): Promise<void> {
    await eventually(async () => {
      const waiting = `SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      expect(await realm.query(waiting)).toHaveLength(1);
    });
  }

  it.each([DEMOTED, SUSPENDED, ERASED, `${DEMOTED}, ${SUSPENDED}`])(
    'refuses %s of the only one, also by the owner',
    async (change) => {
      const schemaOwner = await realm.connect(realm.ownerUrl);
      for (const client of [one, schemaOwner]) {
        expect(await outcome(client, changeUser(ann, change))).toBe('23514 at the last statement');
        await expect(client.query(...parametersOf(changeUser(ann, change)[1]))).rejects.toMatchObject({
          constraint: 'users_last_admin_check',
        });
      }
    },
  );

  it('lets one go while another stays, and then no more', async () => {
    await addBob();
    expect(await outcome(one, changeUser(ann, DEMOTED))).toBe('committed');
    expect(await outcome(one, changeUser(bob, SUSPENDED))).toBe('23514 at the last statement');
  });

  it('does not count one who is suspended', async () => {
    await addBob({ status: 'suspended' });
    expect(await outcome(one, changeUser(ann, DEMOTED))).toBe('23514 at the last statement');
    expect(await outcome(one, changeUser(bob, `status = 'active'`))).toBe('committed');
    expect(await outcome(one, changeUser(ann, DEMOTED))).toBe('committed');
  });

  it('lets the only one change in other ways', async () => {
    expect(await outcome(one, changeUser(ann, `name = 'Ann'`))).toBe('committed');
  });

  it('refuses one statement that demotes all', async () => {
    await addBob();
    const all: Statement = [`UPDATE users SET version = 2, ${DEMOTED} WHERE role = 'admin'`];
    const events = [ann, bob].map((id) => event({ type: 'user' }, id, 2));
    expect(await outcome(one, [...events, all])).toBe('23514 at the last statement');
    // Also where the others stay in the statement, but not in the role.
    const swap: Statement = [
      `UPDATE users SET version = 2, status = CASE id WHEN $1 THEN 'suspended' ELSE 'erased' END`,
      ann,
    ];
    expect(await outcome(one, [...events, swap])).toBe('23514 at the last statement');
  });

  it('refuses one transaction that demotes one after the other', async () => {
    await addBob();
    const statements = [...changeUser(ann, DEMOTED), ...changeUser(bob, DEMOTED)];
    expect(await outcome(one, statements)).toBe('23514 at the last statement');
  });

  it.each([
    ['COMMIT', '23514 at the last statement'],
    ['ROLLBACK', 'committed'],
  ])('makes the second of two transactions wait for the %s of the first', async (end, expected) => {
    await addBob();
    await one.query('BEGIN');
    for (const statement of changeUser(ann, DEMOTED)) await one.query(...parametersOf(statement));
    const second = outcome(other, changeUser(bob, SUSPENDED));
    await untilWaiting();
    await one.query(end);
    expect(await second).toBe(expected);
    expect(await activeAdmins()).toBe(1);
  });

  it.each(['REPEATABLE READ', 'SERIALIZABLE'])('refuses to judge by an older snapshot: %s', async (level) => {
    await addBob();
    const isolation: Statement = [`SET TRANSACTION ISOLATION LEVEL ${level}`];
    expect(await outcome(one, [isolation, ...changeUser(ann, DEMOTED)])).toBe('25000 at the last statement');
  });

  it('is not fooled by a temporary table in the place of the users', async () => {
    const statements: Statement[] = [
      ['CREATE TEMPORARY TABLE users (id uuid, role text, status text) ON COMMIT DROP'],
      ['INSERT INTO users VALUES ($1, $2, $3)', randomUUID(), 'admin', 'active'],
      event({ type: 'user' }, ann, 2),
      [`UPDATE public.users SET version = 2, ${DEMOTED} WHERE id = $1`, ann],
    ];
    expect(await outcome(one, statements)).toBe('23514 at the last statement');
  });
});

/** A statement as node-postgres takes it. */
function parametersOf([sql, ...parameters]: Statement): [string, unknown[]] {
  return [sql, parameters];
}

describe('an erasure', () => {
  const users = subjects[0]!;
  const STATE = { salt: Buffer.alloc(16, 1), state: Buffer.from('{"name":"Eve"}') };
  const ERASE = `UPDATE users SET version = 3, status = 'erased', name = 'Erased user',
    email = id || '@erased.invalid' WHERE id = $1`;
  const eraseRow = (id: string): Statement => [ERASE, id];
  const erase = (id: string): Statement[] => [eraseRow(id), event(users, id, 3, STATE)];
  const FORGET = 'UPDATE audit_events SET salt = NULL, state = NULL WHERE subject_id = $1';
  /** A user at version 2, whose events have states. */
  const createEve = async (): Promise<string> => {
    const id = randomUUID();
    const created = [create(users, id), event(users, id, 1, STATE)];
    expect(await outcome(service, created)).toBe('committed');
    expect(await outcome(service, [update(users, id, 2), event(users, id, 2, STATE)])).toBe('committed');
    return id;
  };
  const createErased = async (): Promise<string> => {
    const id = await createEve();
    expect(await outcome(service, erase(id))).toBe('committed');
    return id;
  };
  const versionsWithState = async (id: string): Promise<unknown[]> =>
    database.query(
      'SELECT subject_version AS version, salt, state FROM audit_events WHERE subject_id = $1 AND num_nonnulls(salt, state) > 0 ORDER BY 1',
      [id],
    );

  it('removes salt and state of the versions before, and changes nothing else of any event', async () => {
    const eve = await createEve();
    const happened = event(users, eve, 1, { subject_version: null });
    const order = event({ type: 'test' }, randomUUID(), 1, STATE);
    expect(await outcome(service, [happened, order])).toBe('committed');
    const others = () =>
      database.query(`SELECT ctid, * FROM audit_events WHERE subject_id <> $1 ORDER BY seq`, [eve]);
    const kept = () =>
      database.query(
        `SELECT to_jsonb(event) - 'salt' - 'state' FROM audit_events AS event
          WHERE subject_id = $1 AND subject_version IS DISTINCT FROM 3 ORDER BY seq`,
        [eve],
      );
    const [before, keptBefore] = [await others(), await kept()];
    expect(await outcome(service, erase(eve))).toBe('committed');
    expect(await versionsWithState(eve)).toEqual([{ version: 3, ...STATE }]);
    expect(await kept()).toEqual(keptBefore);
    expect(await others()).toEqual(before);
  });

  it('happens with its event, or not at all', async () => {
    const eve = await createEve();
    expect(await outcome(service, [eraseRow(eve)])).toBe('23503 at COMMIT');
    expect(await versionsWithState(eve)).toHaveLength(2);
  });

  it.each<[string, string]>([
    ['salt and state of others, also the erased, or of the erasure itself', 'salt = NULL, state = NULL'],
    ['the salt alone', 'salt = NULL'],
    ['the state alone', 'state = NULL'],
    ['an entry', `entry = 'other'`],
    ['an entry, with salt and state', `salt = NULL, state = NULL, entry = 'other'`],
    ['an actor, with salt and state', 'salt = NULL, state = NULL, actor_id = NULL'],
  ])('lets nobody change %s', async (_, change) => {
    const [erased, eve] = [await createErased(), await createEve()];
    const order = randomUUID();
    expect(await outcome(service, [event({ type: 'test' }, order, 1, STATE)])).toBe('committed');
    for (const [subject, version] of [
      [eve, 1],
      [eve, 2],
      [erased, 3],
      [order, 1],
    ]) {
      const statement: Statement = [
        `UPDATE audit_events SET ${change} WHERE subject_id = $1 AND subject_version = $2`,
        subject,
        version,
      ];
      expect(await outcome(service, [statement])).toBe('42501 at the last statement');
      expect(await outcome(owner, [statement])).toBe('23001 at the last statement');
    }
  });

  it.each([`entry = 'other'`, `salt = '1', state = '2'`, 'subject_version = 7', `at = now()`])(
    'leaves events of the erased as they are: %s',
    async (change) => {
      const statement: Statement = [
        `UPDATE audit_events SET ${change} WHERE subject_id = $1 AND subject_version = 1`,
        await createErased(),
      ];
      expect(await outcome(service, [statement])).toBe('42501 at the last statement');
      expect(await outcome(owner, [statement])).toBe('23001 at the last statement');
    },
  );

  it('is of events of users, not of whatever has the id of one', async () => {
    const id = randomUUID();
    const begun = [create(users, id), event({ type: 'test' }, id, 1, STATE)];
    expect(await outcome(service, begun)).toBe('committed');
    expect(await outcome(service, [update(users, id, 2), event(users, id, 2, STATE)])).toBe('committed');
    expect(await outcome(service, erase(id))).toBe('committed');
    expect(await outcome(owner, [[`${FORGET} AND subject_version = 1`, id]])).toBe(
      '23001 at the last statement',
    );
    expect(await versionsWithState(id)).toMatchObject([{ version: 1 }, { version: 3 }]);
  });

  it('is not pretended by a temporary table in the place of the users', async () => {
    const eve = await createEve();
    const copy = `CREATE TEMPORARY TABLE users ON COMMIT DROP AS
      SELECT id, 3 AS version, 'erased' AS status FROM public.users`;
    expect(await outcome(owner, [[copy], [FORGET, eve]])).toBe('23001 at the last statement');
  });

  it('is for ever, also for the owner', async () => {
    const id = await createErased();
    for (const client of [service, owner]) {
      const back: Statement = [
        `UPDATE users SET version = 4, status = 'active', name = 'Eve' WHERE id = $1`,
        id,
      ];
      expect(await outcome(client, [event(users, id, 4), back])).toBe('23001 at the last statement');
    }
  });

  it.each([
    [`status = 'erased'`],
    [`status = 'erased', name = 'Erased user'`],
    [`status = 'erased', name = 'Erased user', email = 'x@erased.invalid'`],
    [`email = 'x@Erased.Invalid'`],
  ])('leaves placeholders, which nobody else has: not %s', async (change) => {
    const eve = await createEve();
    for (const client of [service, owner]) {
      const statement: Statement = [`UPDATE users SET version = 3, ${change} WHERE id = $1`, eve];
      expect(await outcome(client, [event(users, eve, 3), statement])).toBe('23514 at the last statement');
    }
  });

  const credentials: Record<string, Row> = {
    passwords: { hash: '$argon2id$' },
    reset_tokens: { token_hash: randomBytes(32), expires_at: '2100-01-01' },
    sessions: { id: randomUUID(), refresh_hash: Buffer.alloc(32), expires_at: '2100-01-01' },
  };

  it.each(Object.keys(credentials))('removes %s, and lets none come after', async (table) => {
    const eve = await createEve();
    const give = insert(table, { user_id: eve, ...credentials[table] });
    expect(await outcome(service, [give])).toBe('committed');
    expect(await outcome(service, erase(eve))).toBe('committed');
    expect(await database.query(`SELECT FROM ${table} WHERE user_id = $1`, [eve])).toEqual([]);
    for (const client of [service, owner]) {
      expect(await outcome(client, [give])).toBe('23514 at the last statement');
    }
  });

  it('is no right that anybody has: the function with the rights of the owner is not for them', async () => {
    const rights = await database.query(`
      SELECT proname AS name, proowner::regrole::text AS owner, proconfig AS settings, proacl::text AS rights
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef`);
    expect(rights).toEqual([
      {
        name: 'erase_user',
        owner: 'ordo_owner',
        settings: ['search_path=public, pg_temp'],
        rights: '{ordo_owner=X/ordo_owner}',
      },
    ]);
    await owner.query('CREATE TABLE public.mine (id uuid, version integer, status text)');
    await owner.query('GRANT ALL ON public.mine TO ordo_service');
    try {
      const borrow = `CREATE TRIGGER mine AFTER INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION erase_user()`;
      expect(await outcome(service, [[borrow]])).toBe('42501 at the last statement');
    } finally {
      await owner.query('DROP TABLE public.mine');
    }
  });

  it('leaves nothing to the statistics: none are kept of names, addresses, hashes and states', async () => {
    await createEve();
    await database.query('ANALYZE');
    const sampled = await database.query<{ column: string }>(
      `
      SELECT tablename || '.' || attname AS column FROM pg_stats
        WHERE schemaname = 'public' AND tablename || '.' || attname = ANY($1) ORDER BY 1`,
      [
        [
          'users.name',
          'users.email',
          'users_email_key.lower',
          'passwords.hash',
          'audit_events.state',
          'users.role',
        ],
      ],
    );
    expect(sampled).toEqual([{ column: 'users.role' }]);
  });
});

describe('sessions', () => {
  const session = (userId: string, columns: Row = {}): Row => ({
    id: randomUUID(),
    user_id: userId,
    refresh_hash: Buffer.alloc(32),
    expires_at: '2099-01-01',
    ...columns,
  });
  const password = (userId: string): Statement =>
    insert('passwords', { user_id: userId, hash: '$argon2id$one' });

  /** Who of two users still has a session, once this was done for the first: `[true, true]` when it ended none. */
  async function goOn(done: (id: string) => readonly Statement[], client = service): Promise<boolean[]> {
    const [id, bystander] = [randomUUID(), randomUUID()];
    for (const each of [id, bystander]) {
      const rows = [password(each), insert('sessions', session(each)), insert('sessions', session(each))];
      expect(await outcome(service, [...createUser(each, {}), ...rows])).toBe('committed');
    }
    expect(await outcome(client, done(id))).toBe('committed');
    const rows = await database.query<{ user_id: string; alive: boolean }>(
      `SELECT user_id, ended_at IS NULL AS alive FROM sessions WHERE user_id = ANY($1)`,
      [[id, bystander]],
    );
    return [id, bystander].map((each) => {
      const states = rows.filter(({ user_id }) => user_id === each).map(({ alive }) => alive);
      expect([states.length, new Set(states).size]).toEqual([2, 1]);
      return states[0] ?? false;
    });
  }

  it.each<[string, (id: string) => readonly Statement[]]>([
    ['role', (id) => changeUser(id, `role = 'auditor'`)],
    ['status', (id) => changeUser(id, `status = 'suspended'`)],
    ['password', (id) => [['UPDATE passwords SET changed_at = now() WHERE user_id = $1', id]]],
    [
      'password, in an upsert',
      (id) => [
        [
          `INSERT INTO passwords (user_id, hash) VALUES ($1, '$argon2id$two') ON CONFLICT (user_id)
             DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at`,
          id,
        ],
      ],
    ],
  ])('of a user end when the %s changes, whoever changes it', async (_, change) => {
    expect(await goOn(change)).toEqual([false, true]);
    expect(await goOn(change, owner)).toEqual([false, true]);
  });

  it.each<[string, (id: string) => readonly Statement[]]>([
    ['the name changes', (id) => changeUser(id, `name = 'Ada King', email = 'king@example.com'`)],
    ['the password is hashed anew', (id) => [[`UPDATE passwords SET hash = hash WHERE user_id = $1`, id]]],
    ['something happens', (id) => [event({ type: 'user' }, id, 1, { subject_version: null })]],
  ])('go on when %s', async (_, change) => {
    expect(await goOn(change)).toEqual([true, true]);
  });

  it('of a user end with the first password', async () => {
    const id = randomUUID();
    const begun = [...createUser(id, {}), insert('sessions', session(id))];
    expect(await outcome(service, [...begun, password(id)])).toBe('committed');
    expect(await database.query('SELECT ended_at FROM sessions WHERE user_id = $1', [id])).toEqual([
      { ended_at: expect.any(Date) },
    ]);
  });

  it('keep the time at which they ended', async () => {
    const id = randomUUID();
    const ended = '2026-02-03T04:05:06.789Z';
    const row = insert('sessions', session(id, { created_at: '2026-02-01', ended_at: ended }));
    expect(await outcome(service, [...createUser(id, {}), row])).toBe('committed');
    expect(await outcome(service, changeUser(id, `role = 'auditor'`))).toBe('committed');
    expect(await database.query('SELECT ended_at FROM sessions WHERE user_id = $1', [id])).toEqual([
      { ended_at: new Date(ended) },
    ]);
    for (const change of ['ended_at = NULL', 'ended_at = now()', 'refresh_hash = previous_hash']) {
      const revive: Statement = [`UPDATE sessions SET ${change} WHERE user_id = $1`, id];
      expect(await outcome(service, [revive])).toBe('23001 at the last statement');
    }
  });

  it('are not spared by a temporary table in their place', async () => {
    expect(
      await goOn((id) => [
        ['CREATE TEMPORARY TABLE sessions (user_id uuid, ended_at timestamptz) ON COMMIT DROP'],
        ...changeUser(id, `role = 'auditor'`),
      ]),
    ).toEqual([false, true]);
  });

  it.each<[string, Statement, string]>([
    ['a session of nobody', insert('sessions', session(randomUUID())), '23503'],
    [
      'a session that is over at once',
      insert('sessions', session(ada, { expires_at: '2020-01-01' })),
      '23514',
    ],
    ['a token in clear', insert('sessions', session(ada, { refresh_hash: Buffer.from('token') })), '23514'],
    [
      'a former token in clear',
      insert('sessions', session(ada, { previous_hash: Buffer.from('x') })),
      '23514',
    ],
    ['a password in clear', insert('passwords', { user_id: ada, hash: 'password1234' }), '23514'],
    ['a password of nobody', password(randomUUID()), '23503'],
    [
      'a reset token in clear',
      insert('reset_tokens', { user_id: ada, token_hash: Buffer.from('token'), expires_at: '2099-01-01' }),
      '23514',
    ],
  ])('refuses %s', async (_, statement, state) => {
    expect(await outcome(service, [statement])).toBe(`${state} at the last statement`);
  });

  it('one reset token of a user, and one user of a reset token', async () => {
    const [id, another] = [randomUUID(), randomUUID()];
    const token = (userId: string, hash: Buffer) =>
      insert('reset_tokens', { user_id: userId, token_hash: hash, expires_at: '2099-01-01' });
    const [hash, second] = [randomBytes(32), randomBytes(32)];
    const first = [...createUser(id, {}), ...createUser(another, {}), token(id, hash)];
    expect(await outcome(service, first)).toBe('committed');
    expect(await outcome(service, [token(id, second)])).toBe('23505 at the last statement');
    expect(await outcome(service, [token(another, hash)])).toBe('23505 at the last statement');
  });
});

describe('api_keys', () => {
  const keys = subjects[2]!;
  const key = (name: string, slot: number, id = randomUUID()): Statement[] => [
    insert('api_keys', apiKeyRow(id, { name, slot })),
    event(keys, id),
  ];
  const revoke = (id: string, at: string | null = '2026-02-03', version = 2): Statement[] => [
    event(keys, id, version),
    ['UPDATE api_keys SET version = $2, revoked_at = $3 WHERE id = $1', id, version, at],
  ];

  it('are at most two of a name, until one is revoked', async () => {
    const [name, first] = [randomUUID(), randomUUID()];
    expect(await outcome(service, [...key(name, 1, first), ...key(name, 2)])).toBe('committed');
    for (const slot of [1, 2]) {
      const [statement] = key(name, slot);
      expect(await outcome(service, statement ? [statement] : [])).toBe('23505 at the last statement');
    }
    expect(await outcome(service, [...revoke(first), ...key(name, 1)])).toBe('committed');
    const unrevoked = `SELECT FROM api_keys WHERE name = $1 AND revoked_at IS NULL`;
    expect(await database.query(unrevoked, [name])).toHaveLength(2);
    // One that is revoked stays so, and changes no more.
    for (const at of [null, '2027-01-01']) {
      expect(await outcome(service, revoke(first, at, 3))).toBe('23001 at the last statement');
    }
  });

  it('are at most two of a name also when two transactions add one at once', async () => {
    const name = randomUUID();
    const another = await database.connect();
    expect(await outcome(service, key(name, 1))).toBe('committed');
    const outcomes = await Promise.all([outcome(service, key(name, 2)), outcome(another, key(name, 2))]);
    expect(outcomes.sort()).toEqual([expect.stringMatching(/^23505 at /), 'committed']);
  });

  it.each<[string, Row]>([
    ['a third slot', { slot: 3 }],
    ['a slot 0', { slot: 0 }],
    ['no scope', { scopes: [] }],
    ['a scope that nobody knows', { scopes: ['orders:read', 'everything'] }],
    ['an empty name', { name: '' }],
    ['a name of 101 characters', { name: 'x'.repeat(101) }],
    ['a secret in clear', { secret_hash: Buffer.from('secret') }],
    ['an end before the beginning', { updated_at: '2000-01-01' }],
  ])('are refused with %s', async (_, columns) => {
    const statement = insert('api_keys', apiKeyRow(randomUUID(), columns));
    expect(await outcome(service, [statement])).toBe('23514 at the last statement');
  });

  it('are used only if they exist, and once', async () => {
    const use = (id: string) => insert('api_key_uses', { key_id: id, last_used_at: '2026-02-03' });
    expect(await outcome(service, [use(randomUUID())])).toBe('23503 at the last statement');
    expect(await outcome(service, [use(warehouse)])).toBe('committed');
    expect(await outcome(service, [use(warehouse)])).toBe('23505 at the last statement');
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
    ['passwords', ['user_id']],
    ['reset_tokens', ['user_id']],
    ['sessions', ['id', 'user_id', 'created_at', 'expires_at']],
    ['api_keys', ['id', 'name', 'slot', 'scopes', 'secret_hash', 'expires_at', 'created_at']],
    ['api_key_uses', ['key_id']],
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
    'DROP TRIGGER users_last_admin ON users',
    'DROP TRIGGER users_end_sessions ON users',
    'ALTER TABLE passwords DISABLE TRIGGER ALL',
    'DELETE FROM passwords',
    'DELETE FROM api_key_uses',
    'TRUNCATE sessions',
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

  it('is neither superuser nor owner, and a member of its own role and of the sealer alone', async () => {
    const { rows } = await service.query<Record<string, unknown>>(`
      SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
             ARRAY(SELECT granted.rolname::text FROM pg_auth_members JOIN pg_roles AS granted ON granted.oid = roleid
                     WHERE member = pg_roles.oid ORDER BY inherit_option DESC) AS member_of,
             ARRAY(SELECT inherit_option FROM pg_auth_members WHERE member = pg_roles.oid ORDER BY 1 DESC) AS inherited
        FROM pg_roles WHERE rolname = current_user`);
    expect(rows).toEqual([
      {
        rolname: 'ordo_app',
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        member_of: ['ordo_service', 'ordo_sealer'],
        inherited: [true, false],
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
      { table: 'api_key_uses', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'api_keys', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'audit_checkpoints', role: 'ordo_sealer', rights: 'SELECT' },
      { table: 'audit_checkpoints', role: 'ordo_service', rights: 'SELECT' },
      { table: 'audit_events', role: 'ordo_service', rights: 'SELECT' },
      { table: 'audit_gaps', role: 'ordo_sealer', rights: 'DELETE, INSERT, SELECT' },
      { table: 'audit_gaps', role: 'ordo_service', rights: 'SELECT' },
      { table: 'audit_leaves', role: 'ordo_sealer', rights: 'INSERT, SELECT' },
      { table: 'audit_leaves', role: 'ordo_service', rights: 'SELECT' },
      { table: 'audit_sealing', role: 'ordo_sealer', rights: 'SELECT' },
      { table: 'audit_sealing', role: 'ordo_service', rights: 'SELECT' },
      { table: 'audit_subtrees', role: 'ordo_sealer', rights: 'INSERT, SELECT' },
      { table: 'audit_subtrees', role: 'ordo_service', rights: 'SELECT' },
      { table: 'idempotency_keys', role: 'ordo_service', rights: 'DELETE, INSERT, SELECT' },
      { table: 'migrations', role: 'ordo_service', rights: 'SELECT' },
      { table: 'order_fulfillment_lines', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'order_fulfillments', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'order_ledger', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'order_lines', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'order_refund_lines', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'orders', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'passwords', role: 'ordo_service', rights: 'INSERT, SELECT' },
      { table: 'reset_tokens', role: 'ordo_service', rights: 'DELETE, INSERT, SELECT' },
      { table: 'sessions', role: 'ordo_service', rights: 'DELETE, INSERT, SELECT' },
      { table: 'users', role: 'ordo_service', rights: 'INSERT, SELECT' },
    ]);
    expect(await database.query('SELECT * FROM pg_default_acl')).toEqual([]);
    const columns = await database.query<{ table: string; columns: string }>(`
      SELECT relname AS table, string_agg(attname || ' ' || privilege_type, ', ' ORDER BY attname) AS columns
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid, aclexplode(attacl)
        WHERE relnamespace = 'public'::regnamespace AND grantee = 'ordo_service'::regrole
          AND relname <> 'audit_events'
        GROUP BY 1 ORDER BY 1`);
    expect(columns).toEqual(
      Object.entries({
        api_key_uses: ['last_used_at'],
        api_keys: ['revoked_at', 'updated_at', 'version'],
        orders:
          'fulfillment_status held_from hold_reason metadata note paid payment_status refunded status updated_at version'.split(
            ' ',
          ),
        passwords: ['changed_at', 'hash'],
        reset_tokens: ['expires_at', 'token_hash'],
        sessions: ['ended_at', 'previous_hash', 'refresh_hash', 'refreshed_at'],
        users: ['email', 'name', 'role', 'status', 'updated_at', 'version'],
      }).map(([table, names]) => ({ table, columns: names.map((name) => `${name} UPDATE`).join(', ') })),
    );
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

describe('the life cycle of orders', () => {
  const orders = subjects[1]!;
  /** Every status, and an order on hold once for each status where it was before. */
  const places = orderStatuses.flatMap((status): (readonly [string, string | null])[] =>
    status === 'on_hold' ? transitions.hold.from.staff.map((before) => [status, before]) : [[status, null]],
  );
  const pairs = places.flatMap(([from, heldFrom]) =>
    orderStatuses.filter((to) => to !== from).map((to) => [from, heldFrom, to] as const),
  );

  const orderIn = (id: string, status: string, heldFrom: string | null = null): Statement[] => [
    insert('orders', orderRow(id, ada, { status, held_from: heldFrom, hold_reason: heldFrom && 'a reason' })),
    event(orders, id),
  ];
  /** The event of version 2 and, last, the change that makes it. */
  const move = (id: string, status: string, heldFrom: string | null = null): Statement[] => [
    event(orders, id, 2),
    [
      `UPDATE orders SET version = 2, status = $2, held_from = $3,
         hold_reason = CASE WHEN $3::text IS NOT NULL THEN 'a reason' END
       WHERE id = $1`,
      id,
      status,
      heldFrom,
    ],
  ];

  /** What the code's table says of it. */
  const isTransition = (from: string, heldFrom: string | null, to: string) =>
    Object.values<Transition>(transitions).some((transition) => {
      const starts = Object.values(transition.from).some((statuses) =>
        statuses.some((status) => status === from),
      );
      return starts && (transition.to === 'held-from' ? heldFrom : transition.to) === to;
    });

  it.each(pairs)('is one: from %s (held from %s) to %s as the code says', async (from, heldFrom, to) => {
    const expected = isTransition(from, heldFrom, to) ? 'committed' : '23514 at the last statement';
    for (const client of [service, owner]) {
      const id = randomUUID();
      const statements = [...orderIn(id, from, heldFrom), ...move(id, to, to === 'on_hold' ? from : null)];
      expect(await outcome(client, statements)).toBe(expected);
    }
  });

  it.each<[string, string, string | null, string, string | null]>([
    ['a hold that forgets where the order was', 'placed', null, 'on_hold', null],
    ['a hold that remembers another place', 'placed', null, 'on_hold', 'confirmed'],
    ['a hold that remembers a place that is none', 'confirmed', null, 'on_hold', 'on_hold'],
    ['a place to go back to of an order that is not held', 'placed', null, 'placed', 'placed'],
    ['a place that changes while the order is held', 'on_hold', 'placed', 'on_hold', 'confirmed'],
    ['a place that is forgotten while the order is held', 'on_hold', 'placed', 'on_hold', null],
    ['a release that keeps the place', 'on_hold', 'placed', 'placed', 'placed'],
    ['a cancellation that keeps the place', 'on_hold', 'placed', 'cancelled', 'placed'],
  ])('refuses %s', async (_, from, heldFrom, to, place) => {
    const id = randomUUID();
    const statements = [...orderIn(id, from, heldFrom), ...move(id, to, place)];
    expect(await outcome(service, statements)).toBe('23514 at the last statement');
  });

  it('refuses a hold without a reason or a place, and an order that is not held with either', async () => {
    for (const columns of [
      { status: 'on_hold' },
      { status: 'on_hold', held_from: 'placed' },
      { status: 'on_hold', hold_reason: 'a reason' },
      { status: 'placed', held_from: 'placed', hold_reason: 'a reason' },
      { status: 'placed', hold_reason: 'a reason' },
    ]) {
      const id = randomUUID();
      const placed = [event(orders, id), insert('orders', orderRow(id, ada, columns))];
      expect(await outcome(service, placed)).toBe('23514 at the last statement');
    }
  });

  it.each(['', 'x'.repeat(501)])(
    'refuses a hold with a reason that is too short or too long',
    async (reason) => {
      const row = orderRow(randomUUID(), ada, {
        status: 'on_hold',
        held_from: 'placed',
        hold_reason: reason,
      });
      expect(await outcome(service, [insert('orders', row)])).toBe('23514 at the last statement');
    },
  );
});

describe('what is posted to orders', () => {
  const orders = subjects[1]!;
  const AT = '2026-01-02T03:04:05.678Z';
  /** An order of two lines; version 2 paid, 3 refunded a unit of the first, 4 sent one out, 5 is something else. */
  const posted = randomUUID();

  const payment = (id: string, version: number, columns: Row = {}) =>
    insert('order_ledger', {
      order_id: id,
      order_version: version,
      kind: 'payment',
      amount: 500,
      provider: 'bank',
      provider_reference: randomUUID(),
      at: AT,
      ...columns,
    });
  const refund = (id: string, version: number, columns: Row = {}) =>
    insert('order_ledger', {
      order_id: id,
      order_version: version,
      kind: 'refund',
      amount: 1,
      reason: 'Late',
      at: AT,
      ...columns,
    });
  const fulfillment = (id: string, version: number, columns: Row = {}) =>
    insert('order_fulfillments', { order_id: id, order_version: version, at: AT, ...columns });
  const units = (table: string, id: string, version: number, quantity = 1, columns: Row = {}) =>
    insert(table, {
      order_id: id,
      order_version: version,
      position: 1,
      quantity,
      ...(table === 'order_refund_lines' && { amount: 1 }),
      ...columns,
    });
  const newOrder = (id: string): Statement[] => [
    create(orders, id),
    insert('order_lines', lineRow(id)),
    event(orders, id),
  ];
  const change = (id: string, version: number): Statement[] => [
    event(orders, id, version),
    update(orders, id, version),
  ];
  const kinds = [
    { table: 'order_refund_lines', parent: refund },
    { table: 'order_fulfillment_lines', parent: fulfillment },
  ];
  const tables = ['order_ledger', 'order_refund_lines', 'order_fulfillments', 'order_fulfillment_lines'];
  /** A row of each table, with whatever it needs besides the change of its order. */
  const rowsOf: Record<string, (id: string, version: number) => Statement[]> = {
    order_ledger: (id, version) => [payment(id, version)],
    order_refund_lines: (id, version) => [refund(id, version), units('order_refund_lines', id, version)],
    order_fulfillments: (id, version) => [fulfillment(id, version)],
    order_fulfillment_lines: (id, version) => [
      fulfillment(id, version),
      units('order_fulfillment_lines', id, version),
    ],
  };
  const rows = (table: string, id: string, version: number) => rowsOf[table]?.(id, version) ?? [];

  beforeAll(async () => {
    const statements = [
      ...newOrder(posted),
      insert('order_lines', lineRow(posted, { position: 2 })),
      ...change(posted, 2),
      payment(posted, 2),
      ...change(posted, 3),
      ...rows('order_refund_lines', posted, 3),
      ...change(posted, 4),
      ...rows('order_fulfillment_lines', posted, 4),
      ...change(posted, 5),
    ];
    expect(await outcome(service, statements)).toBe('committed');
  });

  describe.each(tables)('%s', (table) => {
    it('never changes nor loses a row, not even for the owner', async () => {
      const changes = [`UPDATE ${table} SET order_version = order_version`, `DELETE FROM ${table}`];
      for (const sql of changes) {
        expect(await outcome(service, [[sql]])).toBe('42501 at the last statement');
        expect(await outcome(owner, [[sql]])).toBe('23001 at the last statement');
      }
      expect(await outcome(service, [[`TRUNCATE ${table} CASCADE`]])).toBe('42501 at the last statement');
      await expect(owner.query(`TRUNCATE ${table} CASCADE`)).rejects.toMatchObject({
        code: '23001',
        message: `TRUNCATE of ${table} is refused`,
      });
    });

    it('takes a row with the change of its order and the event', async () => {
      const id = randomUUID();
      const statements = [...newOrder(id), ...change(id, 2), ...rows(table, id, 2)];
      expect(await outcome(service, statements)).toBe('committed');
    });

    it('refuses a row with the change of its order and no event at COMMIT', async () => {
      const id = randomUUID();
      const statements = [...newOrder(id), update(orders, id, 2), ...rows(table, id, 2)];
      expect(await outcome(service, statements)).toBe('23503 at COMMIT');
    });

    // Units have a parent only at the version of long ago, where the second line is still free.
    const isUnits = table.endsWith('_lines');
    const versions = isUnits ? [table === 'order_refund_lines' ? 3 : 4] : [1, 5, 6];
    const row = (version: number) =>
      isUnits ? units(table, posted, version, 1, { position: 2 }) : rows(table, posted, version)[0]!;

    it.each(versions)('refuses a row for an order that does not change, with version %d', async (version) => {
      for (const client of [service, owner]) {
        expect(await outcome(client, [row(version)])).toBe('23000 at the last statement');
        expect(await outcome(client, [['SAVEPOINT s'], row(version)])).toBe('23000 at the last statement');
      }
    });

    it('refuses a row with an event but without a change', async () => {
      const statements = [event(orders, posted, 6), ...rows(table, posted, 6).slice(0, 1)];
      expect(await outcome(service, statements)).toBe('23000 at the last statement');
    });

    it('refuses a row with another version than that of the change', async () => {
      const [version = 1] = versions;
      const statements = [...change(posted, 6), row(version)];
      expect(await outcome(service, statements)).toBe('23000 at the last statement');
    });
  });

  describe.each(kinds)('$table', ({ table, parent }) => {
    it('refuses more units than the line has, at once and over several changes', async () => {
      const id = randomUUID();
      const first = [...newOrder(id), ...change(id, 2), parent(id, 2)];
      expect(await outcome(service, [...first, units(table, id, 2, 3)])).toBe('23514 at the last statement');
      expect(await outcome(service, [...first, units(table, id, 2, 1)])).toBe('committed');
      const second = [...change(id, 3), parent(id, 3)];
      expect(await outcome(service, [...second, units(table, id, 3, 2)])).toBe('23514 at the last statement');
      expect(await outcome(owner, [...second, units(table, id, 3, 2)])).toBe('23514 at the last statement');
      expect(await outcome(service, [...second, units(table, id, 3, 1)])).toBe('committed');
    });

    it('refuses them also when two transactions add the rest at once', async () => {
      const id = randomUUID();
      const another = await database.connect();
      expect(await outcome(service, newOrder(id))).toBe('committed');
      const rest = [update(orders, id, 2), event(orders, id, 2), parent(id, 2), units(table, id, 2, 2)];
      const outcomes = await Promise.all([outcome(service, rest), outcome(another, rest)]);
      expect(outcomes.sort()).toEqual(['23000 at statement 1', 'committed']);
    });

    it('refuses units without a parent of their own version', async () => {
      const statements = [...change(posted, 6), units(table, posted, 6)];
      expect(await outcome(service, statements)).toBe('23503 at the last statement');
    });

    it.each<[string, number, Row, string]>([
      ['no units', 0, {}, '23514'],
      ['units of a line that there is not', 1, { position: 2 }, '23503'],
    ])('refuses %s', async (_, quantity, columns, state) => {
      const id = randomUUID();
      const row = units(table, id, 2, quantity, columns);
      const statements = [...newOrder(id), ...change(id, 2), parent(id, 2), row];
      expect(await outcome(service, statements)).toBe(`${state} at the last statement`);
    });

    it('is not fooled by a temporary table in the place of the lines', async () => {
      const id = randomUUID();
      const statements: Statement[] = [
        ...newOrder(id),
        ...change(id, 2),
        parent(id, 2),
        [
          'CREATE TEMPORARY TABLE order_lines (order_id uuid, position integer, quantity integer) ON COMMIT DROP',
        ],
        units(table, id, 2, 3),
      ];
      expect(await outcome(service, statements)).toBe('23514 at the last statement');
    });
  });

  it.each<[string, Statement]>([
    ['a payment of nothing', payment(posted, 6, { amount: 0 })],
    ['a payment of no provider', payment(posted, 6, { provider: null })],
    ['a payment without a reference', payment(posted, 6, { provider_reference: null })],
    ['a payment with a reason', payment(posted, 6, { reason: 'x' })],
    ['a payment beyond 2^53 - 1', payment(posted, 6, { amount: MAX_AMOUNT + 1 })],
    ['a refund without a reason', refund(posted, 6, { reason: null })],
    ['a refund with an empty reason', refund(posted, 6, { reason: '' })],
    ['a refund of a provider', refund(posted, 6, { provider: 'bank' })],
    ['a refund with a method', refund(posted, 6, { method: 'card' })],
    ['a negative refund', refund(posted, 6, { amount: -1 })],
    ['an unknown kind', refund(posted, 6, { kind: 'gift' })],
    ['a carrier of 101 characters', fulfillment(posted, 6, { carrier: 'x'.repeat(101) })],
    ['an empty tracking number', fulfillment(posted, 6, { tracking_number: '' })],
  ])('refuses %s', async (_, statement) => {
    expect(await outcome(service, [...change(posted, 6), statement])).toBe('23514 at the last statement');
  });

  it("takes a provider's reference once, of all orders", async () => {
    const [id, other] = [randomUUID(), randomUUID()];
    const reference = { provider_reference: randomUUID() };
    const paid = [...newOrder(id), ...change(id, 2), payment(id, 2, reference)];
    expect(await outcome(service, paid)).toBe('committed');
    const same = [...change(id, 3), payment(id, 3, reference)];
    expect(await outcome(service, same)).toBe('23505 at the last statement');
    const elsewhere = [...newOrder(other), ...change(other, 2)];
    expect(await outcome(service, [...elsewhere, payment(other, 2, reference)])).toBe(
      '23505 at the last statement',
    );
    const anotherProvider = payment(other, 2, { ...reference, provider: 'another bank' });
    expect(await outcome(service, [...elsewhere, anotherProvider])).toBe('committed');
  });

  it('takes one payment or refund per version', async () => {
    const id = randomUUID();
    const statements = [...newOrder(id), ...change(id, 2), payment(id, 2), refund(id, 2)];
    expect(await outcome(service, statements)).toBe('23505 at the last statement');
  });
});
