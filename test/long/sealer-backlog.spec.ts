import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { readBacklog } from '../../src/audit/sealing/backlog.js';
import { BATCH, seal } from '../../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { addEvent, addEvents, gapsOf } from '../support/log.js';

/** Events that nobody has sealed, and five times the gaps. With SEALER_BACKLOG=500000 figures are shown as well. */
const BACKLOG = Number(process.env.SEALER_BACKLOG ?? 30_000);
const GAPS = BACKLOG / 5;
const isMeasured = BACKLOG >= 100_000;

interface Batch {
  /** Blocks of tables and indexes that were read, from memory or disk. */
  readonly blocks: number;
  /** Rows that scans of whole tables have read. */
  readonly scanned: number;
  readonly milliseconds: number;
  /** Longest time for which the event loop did nothing else, in milliseconds. */
  readonly block: number;
}

let database: TestDatabase;
let dataSource: DataSource;
beforeAll(async () => {
  database = await createDatabase();
  // One connection, so that what it reads can be told from what others do.
  dataSource = await new DataSource(dataSourceOptions(database.serviceUrl, 1)).initialize();
});
afterAll(async () => {
  await dataSource.destroy();
  await database.drop();
});

async function reads(): Promise<Pick<Batch, 'blocks' | 'scanned'>> {
  await dataSource.query('SELECT pg_stat_force_next_flush()');
  const [row] = await dataSource.query<[Pick<Batch, 'blocks' | 'scanned'>]>(
    `SELECT sum(hits + reads)::bigint AS blocks,
            (SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables
              WHERE relname IN ('audit_events', 'audit_leaves', 'audit_subtrees')) AS scanned
       FROM pg_stat_get_backend_io(pg_backend_pid())`,
  );
  return row;
}

async function addMany(count: number): Promise<void> {
  const writer = await database.connect();
  for (let left = count; left > 0; left -= 10_000) await addEvents(writer, Math.min(left, 10_000));
}

it(`${BACKLOG} unsealed events: each batch costs what the others do`, async () => {
  await addMany(BACKLOG);
  const eventLoop = monitorEventLoopDelay({ resolution: 1 });
  const cpu = process.cpuUsage();
  const batches: Batch[] = [];
  for (let before = await reads(); ;) {
    eventLoop.reset();
    eventLoop.enable();
    const started = performance.now();
    const sealed = await seal(dataSource);
    const milliseconds = performance.now() - started;
    eventLoop.disable();
    if (sealed === 'busy' || sealed.leaves < BATCH) break;
    const after = await reads();
    const [blocks, scanned] = [after.blocks - before.blocks, after.scanned - before.scanned];
    batches.push({ blocks, scanned, milliseconds, block: eventLoop.max / 1e6 });
    before = after;
  }
  if (isMeasured) showFigures(batches, process.cpuUsage(cpu).user / 1_000);
  expect(batches).toHaveLength(BACKLOG / BATCH);
  expect(batches.map(({ scanned }) => scanned)).toEqual(batches.map(() => 0));
  // Trees of indexes grow by a level now and then; a scan of what is left would grow or shrink with each batch.
  const half = batches[Math.ceil(batches.length / 2)]?.blocks ?? 0;
  expect(Math.max(...batches.map(({ blocks }) => blocks)) / half).toBeLessThan(1.3);
  expect(half / BATCH).toBeLessThan(30);
}, 300_000);

it(`${GAPS} gaps that nobody can close yet: each costs a look into an index`, async () => {
  const old = await database.connect();
  await old.query('BEGIN; SELECT pg_current_xact_id()');
  const writer = await database.connect();
  await addEvent(writer);
  await seal(dataSource);
  const [{ seq }] = await dataSource.query<[{ seq: number }]>('SELECT max(seq) AS seq FROM audit_events');
  await database.query(`SELECT setval('audit_events_seq_seq', $1)`, [seq + 2 * GAPS]);
  await addEvent(writer);
  await seal(dataSource);
  expect(await gapsOf(database)).toHaveLength(1);
  // As if every second of so many insertions had been rolled back while the old transaction was open.
  await database.query(
    `WITH gap AS (DELETE FROM audit_gaps RETURNING *)
     INSERT INTO audit_gaps SELECT n, n, horizon FROM gap, generate_series(first_seq, last_seq, 2) AS n`,
  );
  const time = async (work: () => Promise<unknown>) => {
    const started = performance.now();
    await work();
    return Math.round(performance.now() - started);
  };
  const before = await reads();
  const look = await time(() => readBacklog(dataSource));
  const after = await reads();
  expect((after.blocks - before.blocks) / GAPS).toBeLessThan(6);
  await addEvent(writer);
  const sealing = await time(() => seal(dataSource));
  await old.query('COMMIT');
  const forgetting = await time(() => seal(dataSource));
  if (isMeasured) show({ gaps: GAPS, look, sealing, forgetting });
}, 120_000);

function showFigures(batches: readonly Batch[], cpuMilliseconds: number): void {
  const median = (values: readonly number[]) =>
    values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  const tenth = Math.ceil(batches.length / 10);
  const times = batches.map(({ milliseconds }) => milliseconds);
  show({
    'ms per batch, median of the first tenth': median(times.slice(0, tenth)),
    'of the last tenth': median(times.slice(-tenth)),
    worst: Math.max(...times),
    'events per second': Math.round((1_000 * BACKLOG) / times.reduce((sum, time) => sum + time, 0)),
    'blocks per event, first, second and last batch': [0, 1, -1].map(
      (index) => (batches.at(index)?.blocks ?? 0) / BATCH,
    ),
    'CPU of this process per batch, ms': cpuMilliseconds / batches.length,
    'longest block of the event loop in a batch, median and worst, ms': [
      median(batches.map(({ block }) => block)),
      Math.max(...batches.map(({ block }) => block)),
    ],
  });
}

function show(figures: object): void {
  process.stdout.write(`${JSON.stringify(figures, null, 2)}\n`);
}
