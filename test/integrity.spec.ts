import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { command, fullKey, fullOrder, fullUser, history } from './support/histories.js';
import { createPerson } from './support/people.js';
import { placeOrder } from './support/samples.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { forgeries } from './support/forgeries.js';
import { cloneSubject, forgeEvents, type Forgery, type Tampering, tamper } from './support/forgery.js';
import { startService, type TestService } from './support/service.js';

interface Difference {
  readonly subject: { readonly type: string; readonly id: string | null };
  readonly version: number | null;
  readonly eventId: string | null;
  readonly where: string;
  readonly code: string;
  readonly expected: string | null;
  readonly actual: string | null;
}
interface Page {
  readonly checked: number;
  readonly differences: Difference[];
  readonly progress: number;
  readonly nextCursor: string | null;
}

/** Everything, page by page. */
async function walk(service: Pick<TestService, 'send'>, query = ''): Promise<Page[]> {
  const pages: Page[] = [];
  let cursor: string | null = null;
  do {
    const path = `/v1/audit/integrity?${query}${cursor === null ? '' : `&cursor=${cursor}`}`;
    const response = await service.send('get', path).expect(200);
    const page = response.body as Page;
    pages.push(page);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return pages;
}

async function differencesOf(service: TestService, query?: string): Promise<Difference[]> {
  return (await walk(service, query)).flatMap(({ differences }) => differences);
}

const checkedIn = (pages: readonly Page[]) => pages.reduce((sum, { checked }) => sum + checked, 0);

describe('a healthy database', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startService();
    await history(service);
  }, 120_000);
  afterAll(() => service.stop());

  async function count(...tables: string[]): Promise<number> {
    const counts = tables.map((table) => `(SELECT count(*) FROM ${table})`);
    const [row] = await service.database.query<{ count: string }>(`SELECT ${counts.join(' + ')} AS count`);
    return Number(row?.count);
  }

  it.each([1, 10, 100])(
    'has no difference, on pages of %i that hold each row and event once',
    async (limit) => {
      const pages = await walk(service, `limit=${limit}`);
      expect(pages.flatMap(({ differences }) => differences)).toEqual([]);
      expect(Math.max(...pages.map(({ checked }) => checked))).toBeLessThanOrEqual(limit);
      expect(checkedIn(pages)).toBe(await count('users', 'orders', 'api_keys', 'audit_events'));
      const progress = pages.map((page) => page.progress);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
      expect(progress.at(-1)).toBe(1);
      expect(progress.slice(0, -1).every((share) => share < 1)).toBe(true);
    },
  );

  it('can be checked by type of subject', async () => {
    const pages = await walk(service, 'subjectType=order&limit=10');
    const [row] = await service.database.query<{ count: string }>(
      `SELECT count(*) AS count FROM audit_events WHERE subject_type = 'order'`,
    );
    expect(checkedIn(pages)).toBe((await count('orders')) + Number(row?.count));
    const unknown = await service.send('get', '/v1/audit/integrity?subjectType=orders').expect(400);
    expect(unknown.body).toMatchObject({ code: 'invalid-parameter', errors: [{ parameter: 'subjectType' }] });
    const { nextCursor } = pages[0] ?? {};
    const foreign = `/v1/audit/integrity?subjectType=user&cursor=${nextCursor}`;
    expect((await service.send('get', foreign).expect(400)).body).toMatchObject({ code: 'invalid-cursor' });
  });

  it('takes a state of the first weeks, which tells of no hold and no postings', async () => {
    const { id } = await placeOrder(service, undefined);
    const forget: Forgery['state'] = (order) => {
      for (const later of ['hold', 'payments', 'refunds', 'fulfillments'])
        Reflect.deleteProperty(order, later);
    };
    await forgeEvents(service.database, id, { version: 1, state: forget });
    await command(service, id, ['confirm', {}], ['hold', { reason: 'later' }]);
    expect(await differencesOf(service)).toEqual([]);
  });

  it('names the next page in Link', async () => {
    const response = await service.send('get', '/v1/audit/integrity?limit=1').expect(200);
    expect(response.get('Link')).toBe(
      `</v1/audit/integrity?limit=1&cursor=${(response.body as Page).nextCursor}>; rel="next"`,
    );
  });

  it('has none while it is written to, and the walk ends', async () => {
    const { user } = await createPerson(service);
    let isOver = false;
    let written = 0;
    const write = async () => {
      while (!isOver) {
        const { id } = await placeOrder(service, user.id);
        await command(service, id, [
          'payments',
          { amount: 5, provider: 'p', providerReference: randomUUID() },
        ]);
        await command(service, id, ['refunds', { amount: 2, reason: 'r' }], ['confirm', {}]);
        const name = `Name ${written++}`;
        await service.send('patch', `/v1/users/${user.id}`).set('If-Match', '*').send({ name }).expect(200);
      }
    };
    const writers = Promise.all([write(), write(), write()]);
    try {
      for (let round = 0; round < 2; round++) {
        const before = written;
        expect(await differencesOf(service, 'limit=15')).toEqual([]);
        expect(written).toBeGreaterThan(before);
      }
    } finally {
      isOver = true;
      await writers;
    }
  });
});

/** Tables of which no event tells: nothing says what their rows should be. */
const UNAUDITED: Readonly<Record<string, string>> = {
  migrations: 'the schema, not the data',
  audit_checkpoints: 'the log over the events: test/integrity-log.spec.ts',
  audit_gaps: 'the log over the events: test/integrity-log.spec.ts',
  audit_leaves: 'the log over the events: test/integrity-log.spec.ts',
  audit_sealing: 'the log over the events: test/integrity-log.spec.ts',
  audit_subtrees: 'the log over the events: test/integrity-log.spec.ts',
  idempotency_keys: 'which request caused which event, for IDEMPOTENCY_TTL_HOURS',
  passwords: 'credentials have no version and no state',
  reset_tokens: 'credentials have no version and no state',
  sessions: 'credentials have no version and no state',
  api_key_uses: 'when a key was used last, no part of its versions',
};

/** Columns that no entry and no state holds. */
const UNCOVERED: Readonly<Record<string, string>> = {
  'audit_events.xid': 'of use while the row is new; a restored database counts anew',
  'audit_events.recorded_at': 'the clock of the database: nothing else knows it',
  'api_keys.slot': 'says which of two keys of a name this is; a unique index holds it',
  'api_keys.secret_hash': 'secrets, hashed or not, are kept out of events',
};

/** How a superuser changes a value of each type, unless the column has its own way. */
const CHANGES: Readonly<Record<string, string>> = {
  integer: 'COLUMN + 10',
  bigint: 'COLUMN + 10',
  text: `COLUMN || 'x'`,
  uuid: 'gen_random_uuid()',
  'timestamp with time zone': `COLUMN + interval '1 second'`,
  bytea: 'sha256(COLUMN)',
  jsonb: `COLUMN || '{"planted": "by hand"}'`,
  ARRAY: `COLUMN || ARRAY['users:write']`,
};
const OWN_CHANGES: Readonly<Record<string, string>> = { 'audit_events.seq': 'DEFAULT' };

const ORDER_TABLES = {
  orders: 'id',
  order_lines: 'order_id',
  order_ledger: 'order_id',
  order_refund_lines: 'order_id',
  order_fulfillments: 'order_id',
  order_fulfillment_lines: 'order_id',
};

/** Which column has the subject's id, and who has a row in the table. */
const OWNERS: Readonly<Record<string, readonly [column: string, kind: 'user' | 'order' | 'api-key']>> = {
  users: ['id', 'user'],
  api_keys: ['id', 'api-key'],
  audit_events: ['subject_id', 'user'],
  ...Object.fromEntries(Object.entries(ORDER_TABLES).map(([table, id]) => [table, [id, 'order'] as const])),
};

/** A service on a database of its own that need not be consistent in the end. */
async function startOnDatabase(): Promise<{
  service: TestService;
  database: TestDatabase;
  stop(): Promise<void>;
}> {
  const database = await createDatabase();
  const service = await startService({}, database);
  const stop = async () => {
    await service.stop();
    await database.drop();
  };
  return { service, database, stop };
}

async function dropRules(database: TestDatabase): Promise<void> {
  const rules = await database.query<{ rule: string }>(
    `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS rule FROM pg_constraint
      WHERE contype = 'c' AND conrelid = ANY($1::regclass[])`,
    [Object.keys(OWNERS)],
  );
  for (const { rule } of rules) await database.query(rule);
  for (const domain of ['amount', 'parts_per_million']) {
    await database.query(`ALTER DOMAIN ${domain} DROP CONSTRAINT ${domain}_check`);
  }
}

/** What must not be told: people, and whatever somebody wrote. */
const PRIVATE =
  /Lovelace|@example|noted note|channelled|a-provider|a-method|a-carrier|a-tracking|held reason|refunded reason|reference-|TEA-250|Green tea|a-key-/;

describe('a change of any column', () => {
  let service: TestService;
  let database: TestDatabase;
  let stop: () => Promise<void>;
  beforeAll(async () => {
    ({ service, database, stop } = await startOnDatabase());
  });
  afterAll(() => stop());

  it('is reported, and names the subject and nobody else', async () => {
    const columns = await database.query<{ table: string; column: string; type: string }>(
      `SELECT table_name AS table, column_name AS column, data_type AS type FROM information_schema.columns
        WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`,
    );
    const tables = [...new Set(columns.map(({ table }) => table))].sort();
    expect(tables).toEqual([...Object.keys(OWNERS), ...Object.keys(UNAUDITED)].sort());
    const named = columns.map(({ table, column }) => `${table}.${column}`);
    expect(named).toEqual(expect.arrayContaining(Object.keys(UNCOVERED)));

    await history(service);
    const user = await fullUser(service);
    const models = {
      user: { ...user, tables: { users: 'id' } },
      'api-key': { ...(await fullKey(service)), tables: { api_keys: 'id' } },
      order: { ...(await fullOrder(service, user.id)), tables: ORDER_TABLES },
    };
    const covered = columns.filter(
      ({ table, column }) => table in OWNERS && !(`${table}.${column}` in UNCOVERED),
    );
    const bystanders = await subjectsOf(database);
    const victims = new Map<string, string>();
    for (const [kind, { tables, ...model }] of Object.entries(models)) {
      const own = covered.filter(({ table }) => OWNERS[table]?.[1] === kind);
      const clones = await cloneSubject(database, tables, model, own.length);
      for (const [index, { table, column }] of own.entries())
        victims.set(`${table}.${column}`, clones[index] ?? '');
    }
    await dropRules(database);
    await database.query('ALTER TABLE audit_events ALTER leaf_hash DROP EXPRESSION');
    expect(await differencesOf(service)).toEqual([]);

    await tamper(
      database,
      ...covered.map(({ table, column, type }): Tampering => {
        const name = `${table}.${column}`;
        const change = (OWN_CHANGES[name] ?? CHANGES[type] ?? `no way to change a ${type}`).replace(
          'COLUMN',
          column,
        );
        const [id] = OWNERS[table] ?? [''];
        const which = table === 'audit_events' ? 'subject_version = 2' : `${column} IS NOT NULL`;
        return [
          `UPDATE ${table} SET ${column} = ${change}
            WHERE ctid = (SELECT ctid FROM ${table} WHERE ${id} = $1 AND ${which} ORDER BY ctid LIMIT 1)`,
          victims.get(name),
        ];
      }),
    );

    const pages = await walk(service);
    const differences = pages.flatMap((page) => page.differences);
    const found = new Set(differences.map(({ subject }) => subject.id));
    expect([...victims].filter(([, id]) => !found.has(id)).map(([name]) => name)).toEqual([]);
    expect(differences.filter(({ subject }) => subject.id !== null && bystanders.has(subject.id))).toEqual(
      [],
    );
    for (const column of ['id', 'at', 'actor_type', 'actor_id', 'action', 'request_id']) {
      const subject = { type: 'user', id: victims.get(`audit_events.${column}`) };
      const where = `audit_events.${column}`;
      expect(differences).toContainEqual(expect.objectContaining({ code: 'column-differs', where, subject }));
    }
    expect(PRIVATE.exec(JSON.stringify(pages))).toBeNull();
    const small = (await walk(service, 'limit=30')).flatMap((page) => page.differences);
    const text = (difference: Difference) => JSON.stringify(difference);
    expect(small.map(text).sort()).toEqual(differences.map(text).sort());
  }, 120_000);
});

async function subjectsOf(database: TestDatabase): Promise<Set<string>> {
  const rows = await database.query<{ id: string }>(
    `SELECT id FROM users UNION SELECT id FROM orders UNION SELECT id FROM api_keys`,
  );
  return new Set(rows.map(({ id }) => id));
}

describe('tampering', () => {
  let service: TestService;
  let database: TestDatabase;
  let stop: () => Promise<void>;
  const victims = new Map<string, string | null>();
  let differences: Difference[];
  let accused: Set<string | null>;
  let bystanders: Set<string>;

  beforeAll(async () => {
    ({ service, database, stop } = await startOnDatabase());
    await history(service);
    const user = await fullUser(service);
    const placed = { reference: `reference-${user.unique}` };
    const models = {
      user: { ...user, tables: { users: 'id' } },
      'api-key': { ...(await fullKey(service)), tables: { api_keys: 'id' } },
      'full order': { ...(await fullOrder(service, user.id)), tables: ORDER_TABLES },
      'placed order': {
        id: (await placeOrder(service, user.id, placed)).id,
        unique: user.unique,
        tables: ORDER_TABLES,
      },
    };
    bystanders = await subjectsOf(database);
    const all = Object.entries(forgeries);
    const clones = new Map<string, string[]>();
    for (const [kind, { tables, ...model }] of Object.entries(models)) {
      clones.set(
        kind,
        await cloneSubject(database, tables, model, all.filter(([, { of }]) => of === kind).length),
      );
    }
    await dropRules(database);
    expect(await differencesOf(service)).toEqual([]);
    for (const [title, { of, plant }] of all) {
      const id = clones.get(of)?.pop() ?? '';
      victims.set(title, (await plant(database, id)) ?? id);
    }
    differences = await differencesOf(service);
    accused = new Set(differences.map(({ subject }) => subject.id));
  }, 120_000);
  afterAll(() => stop());

  it.each(Object.keys(forgeries))('%s is reported, and names the subject', (title) => {
    const { where, code } = forgeries[title] ?? {};
    const own = differences.filter(({ subject }) => subject.id === victims.get(title));
    expect(own.map((each) => [each.where, each.code])).toContainEqual([where, code]);
  });

  it('accuses nobody else', () => {
    expect([...bystanders].filter((id) => accused.has(id))).toEqual([]);
    expect([...accused].filter((id) => ![...victims.values()].includes(id))).toEqual([]);
  });

  it('is told without a name, an address or a text that somebody wrote', () => {
    expect(differences.length).toBeGreaterThan(victims.size);
    expect(PRIVATE.exec(JSON.stringify(differences))).toBeNull();
  });

  it('with hundreds of members of one order is told by the first hundred', async () => {
    const many = Array.from({ length: 60 }, () => ({ sku: 'A', name: 'A', quantity: 1, unitPrice: 100 }));
    const { id } = await placeOrder(service, undefined, { lines: many });
    await tamper(database, ['UPDATE order_lines SET quantity = 2 WHERE order_id = $1', id]);
    const own = (await differencesOf(service, 'subjectType=order')).filter(
      ({ subject }) => subject.id === id,
    );
    expect(own).toHaveLength(100);
  });
});
