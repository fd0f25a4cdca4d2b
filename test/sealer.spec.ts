import { createHash, randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { readBacklog } from '../src/audit/sealing/backlog.js';
import { without } from '../src/audit/sealing/gaps.js';
import { BATCH, seal } from '../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../src/database/data-source.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import {
  addEvent,
  addEvents,
  expectSound,
  expectSubtrees,
  gapsOf,
  naiveRoot,
  sealedEvents,
} from './support/log.js';
import { eventually } from './support/process.js';

let database: TestDatabase;
let dataSource: DataSource;
let writer: pg.Client;
let other: pg.Client;
beforeEach(async () => {
  database = await createDatabase();
  dataSource = await new DataSource(dataSourceOptions(database.serviceUrl, 4)).initialize();
  writer = await database.connect();
  other = await database.connect();
});
afterEach(async () => {
  await dataSource.destroy();
  await database.drop();
});

const hasWork = async () => (await readBacklog(dataSource)).hasWork;

/** Until the gaps are closed: transactions of other databases on the server hold them open as well. */
async function untilClosed(): Promise<void> {
  await eventually(async () => {
    await sealAll();
    expect(await gapsOf(database)).toEqual([]);
  });
}

/** Seals until nothing is left that could be sealed now; the leaves added. */
async function sealAll(): Promise<number> {
  let leaves = 0;
  while (await hasWork()) {
    const sealed = await seal(dataSource);
    leaves += sealed === 'busy' ? 0 : sealed.leaves;
  }
  return leaves;
}

describe('what is missing in a range', () => {
  it('is all but what is present, in as few ranges as can be', () => {
    fc.assert(
      fc.property(fc.nat(30), fc.nat(30), fc.uniqueArray(fc.nat(60)), (first, length, numbers) => {
        const last = first + length - 1;
        const present = numbers.filter((n) => n >= first && n <= last).sort((a, b) => a - b);
        const missing = without({ first, last }, present);
        const all = missing.flatMap((range) =>
          Array.from({ length: range.last - range.first + 1 }, (_, n) => range.first + n),
        );
        expect([...all, ...present].sort((a, b) => a - b)).toEqual(
          Array.from({ length }, (_, n) => first + n),
        );
        expect(missing.every((range, n) => n === 0 || range.first > (missing[n - 1]?.last ?? 0) + 1)).toBe(
          true,
        );
      }),
    );
  });
});

describe('an event', () => {
  it('gets the next leaf, once', async () => {
    await addEvents(writer, 3);
    expect(await seal(dataSource)).toEqual({ leaves: 3 });
    expect(await sealedEvents(database)).toEqual([1, 2, 3]);
    expect(await hasWork()).toBe(false);
    expect(await seal(dataSource)).toEqual({ leaves: 0 });
    await expectSound(database);
  });

  it('that was open while later ones were sealed is sealed after them', async () => {
    await writer.query('BEGIN');
    await addEvent(writer);
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    expect([await gapsOf(database), await hasWork()]).toEqual([['1-1'], false]);
    await writer.query('COMMIT');
    expect(await sealAll()).toBe(1);
    expect([await gapsOf(database), await sealedEvents(database)]).toEqual([[], [2, 1]]);
  });

  it('whose transaction has the greatest number so far is not taken for one that was rolled back', async () => {
    // Its number is that of the next transaction to come, for whoever looks at what has ended only.
    const early = await database.connect();
    await early.query('BEGIN; SELECT pg_current_xact_id()');
    await writer.query('BEGIN');
    await addEvent(writer);
    await addEvent(early);
    await early.query('COMMIT');
    expect(await seal(dataSource)).toEqual({ leaves: 1 });
    expect(await seal(dataSource)).toEqual({ leaves: 0 });
    expect(await gapsOf(database)).toEqual(['1-1']);
    await writer.query('COMMIT');
    expect(await sealAll()).toBe(1);
    await expectSound(database);
  });

  it('that was rolled back leaves a gap as long as an older transaction is open', async () => {
    const old = await database.connect();
    await old.query('BEGIN; SELECT pg_current_xact_id()');
    await writer.query('BEGIN');
    await addEvent(writer);
    await writer.query('ROLLBACK');
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    expect([await gapsOf(database), await hasWork()]).toEqual([['1-1'], false]);
    await old.query('ROLLBACK');
    await untilClosed();
    expect(await sealedEvents(database)).toEqual([2]);
  });

  it('rolled back with a savepoint is no leaf, what comes before and after it is', async () => {
    await writer.query('BEGIN');
    await addEvent(writer);
    await writer.query('SAVEPOINT s');
    await addEvent(writer);
    await writer.query('ROLLBACK TO s');
    await addEvent(writer);
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    await writer.query('COMMIT');
    await untilClosed();
    expect(await sealedEvents(database)).toEqual([4, 1, 3]);
  });

  it('of a second version never comes before the first, although it is committed while the gap is there', async () => {
    const id = randomUUID();
    await writer.query('BEGIN');
    await addEvent(writer, { id });
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    await writer.query('COMMIT');
    await addEvent(other, { id, version: 2 });
    expect(await sealAll()).toBe(2);
    await expectSound(database);
  });
});

describe('a prepared transaction', () => {
  const prepared = async () => {
    await writer.query('BEGIN');
    await addEvent(writer);
    await writer.query(`PREPARE TRANSACTION 'orphan'`);
    await addEvent(other);
    await other.query('BEGIN');
    await addEvent(other);
    await other.query('ROLLBACK');
    await addEvent(other);
    expect(await sealAll()).toBe(2);
    expect([await gapsOf(database), await hasWork()]).toEqual([['1-1', '3-3'], false]);
  };

  it('keeps its gap, and is sealed when somebody commits it', async () => {
    await prepared();
    await writer.query(`COMMIT PREPARED 'orphan'`);
    await untilClosed();
    expect(await sealedEvents(database)).toEqual([2, 4, 1]);
  });

  it('keeps its gap until somebody rolls it back', async () => {
    await prepared();
    await writer.query(`ROLLBACK PREPARED 'orphan'`);
    await untilClosed();
    expect(await sealedEvents(database)).toEqual([2, 4]);
  });
});

describe('batches', () => {
  it('are full until all is sealed, and leave in a gap what does not fit', async () => {
    await writer.query('BEGIN');
    await addEvents(writer, BATCH + 10);
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    await writer.query('COMMIT');
    await addEvents(other, 5);
    expect(await seal(dataSource)).toEqual({ leaves: BATCH });
    expect(await gapsOf(database)).toEqual([`${BATCH + 1}-${BATCH + 10}`]);
    expect(await seal(dataSource)).toEqual({ leaves: 15 });
    expect(await gapsOf(database)).toEqual([]);
    await expectSound(database);
  });

  it('of new events end where the last one taken ends', async () => {
    await addEvents(writer, BATCH - 1);
    await writer.query('BEGIN');
    await addEvents(writer, 3);
    await addEvents(other, 3);
    expect(await seal(dataSource)).toEqual({ leaves: BATCH });
    expect(await gapsOf(database)).toEqual([`${BATCH}-${BATCH + 2}`]);
    await writer.query('COMMIT');
    expect(await sealAll()).toBe(5);
    await expectSound(database);
  });

  it.each([255, 256, 257, 1_000])('of odd sizes make the same tree: %i events', async (count) => {
    let left = count;
    for (let size = 1; left > 0; size = size * 3 + 1) {
      const some = Math.min(size, left, BATCH);
      await addEvents(writer, some);
      expect(await seal(dataSource)).toEqual({ leaves: some });
      left -= some;
    }
    await expectSound(database);
  });
});

it('a tile of the second level is stored when it is full', async () => {
  const already = 65_500;
  const hash = (n: number) => createHash('sha256').update(`${n}`).digest();
  const hashes = Array.from({ length: already }, (_, n) => hash(n));
  const tiles = Array.from({ length: Math.floor(already / 256) }, (_, n) =>
    naiveRoot(hashes.slice(n * 256, (n + 1) * 256)),
  );
  const superuser = await database.connect(database.superuserUrl);
  await superuser.query('SET session_replication_role = replica');
  await superuser.query(
    `INSERT INTO audit_leaves SELECT n - 1, -n, hash FROM unnest($1::bytea[]) WITH ORDINALITY AS leaf (hash, n)`,
    [hashes],
  );
  await superuser.query(
    `INSERT INTO audit_subtrees SELECT 1, n - 1, hash FROM unnest($1::bytea[]) WITH ORDINALITY AS tile (hash, n)`,
    [tiles],
  );
  await addEvents(writer, 100);
  expect(await seal(dataSource)).toEqual({ leaves: 100 });
  const leaves = await database.query<{ hash: Buffer }>('SELECT hash FROM audit_leaves ORDER BY leaf_index');
  await expectSubtrees(
    database,
    leaves.map((leaf) => leaf.hash),
  );
});

describe('sequence numbers', () => {
  it('that jump cost one gap, also when events turn up in the middle of it', async () => {
    await writer.query('BEGIN');
    await addEvent(writer);
    await database.query(`SELECT setval('audit_events_seq_seq', 500000000)`);
    await addEvent(writer);
    await database.query(`SELECT setval('audit_events_seq_seq', 1000000000)`);
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    expect(await gapsOf(database)).toEqual(['1-1000000000']);
    await writer.query('COMMIT');
    await untilClosed();
    expect(await sealedEvents(database)).toEqual([1_000_000_001, 1, 500_000_001]);
  });

  // Else a seal could find no trace of the transaction that is just about to use a number.
  const COLUMNS = `audit_events (id, at, actor_type, action, subject_type, subject_id, subject_version, request_id, entry)`;
  const row = `'${randomUUID()}', '2026-01-02', 'system', 'user.touched', 'user', '${randomUUID()}', 1, '${randomUUID()}', 'x'`;
  it.each([
    ['VALUES', `INSERT INTO ${COLUMNS} VALUES (${row})`],
    ['SELECT', `INSERT INTO ${COLUMNS} SELECT ${row} FROM unnest(ARRAY[1]) AS one`],
    ['WITH', `WITH one AS (INSERT INTO ${COLUMNS} VALUES (${row}) RETURNING *) SELECT FROM one`],
    [
      'COPY',
      `COPY ${COLUMNS} FROM PROGRAM 'echo "${row.replaceAll("'", '')}" | tr -d " "' WITH (FORMAT csv)`,
    ],
  ])('are taken by transactions that have a number: %s', async (_, sql) => {
    const [owner, inserter] = [
      await database.connect(database.ownerUrl),
      await database.connect(database.superuserUrl),
    ];
    await owner.query('BEGIN; ALTER SEQUENCE audit_events_seq_seq CYCLE');
    const { rows } = await inserter.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const inserted = inserter.query(sql);
    await eventually(async () => {
      const [waiting] = await database.query<{ xid: string | null }>(
        `SELECT backend_xid AS xid FROM pg_locks JOIN pg_stat_activity USING (pid)
          WHERE pid = $1 AND relation = 'audit_events_seq_seq'::regclass AND NOT granted`,
        [rows[0]?.pid],
      );
      expect(waiting).toBeDefined();
      expect(waiting?.xid).not.toBeNull();
    });
    await owner.query('ROLLBACK');
    await inserted;
  });
});

describe('another cluster', () => {
  it('has none of the transactions that gaps wait for', async () => {
    await writer.query('BEGIN');
    await addEvent(writer);
    await addEvent(other);
    expect(await sealAll()).toBe(1);
    await writer.query('ROLLBACK');
    // As after a restore: the numbers of transactions are far ahead of those that this cluster gives.
    await database.query(`UPDATE audit_gaps SET horizon = '123456789012'`);
    expect(await hasWork()).toBe(true);
    await addEvent(writer);
    expect(await sealAll()).toBe(1);
    expect(await gapsOf(database)).toEqual([]);
  });
});

describe('rivals', () => {
  it('seal one at a time', async () => {
    await addEvents(writer, 10);
    await other.query('BEGIN');
    await other.query(`SELECT pg_advisory_xact_lock(hashtextextended('ordo sealer', 0))`);
    expect(await seal(dataSource)).toBe('busy');
    await other.query('COMMIT');
    expect(await seal(dataSource)).toEqual({ leaves: 10 });
  });
});
