// What a page of GET /v1/audit/events costs by each filter: the buffers that PostgreSQL looks at and the milliseconds it
// takes, at both ends and in the middle of a list.
//
//   node scripts/build-if-stale.mjs && node scripts/measure-event-search.mjs [events]     (10,000,000: 15 GB of disk)
//
// It prints a line for each filter, the greatest over the three places. Milliseconds are those of the service's own
// code, from its question for the page to the last event: the first time that it is asked for, and at once again.
// Buffers are those of the search for the ids, planned for the values and without them.
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { AuditService, eventsThatFit } from '../dist/src/audit/audit.service.js';
import { dataSourceOptions } from '../dist/src/database/data-source.js';
import { startEmbeddedDatabase } from '../dist/src/database/embedded/embedded-database.js';
import { migrate } from '../dist/src/database/migrate.js';
import { loadCrowd, person } from '../test/support/crowd.ts';

const EVENTS = Number(process.argv[2] ?? 10_000_000);
const LIMIT = 20;

const ago = (share) => new Date(Date.now() - share * EVENTS * 60_000).toISOString();
const searches = [
  {},
  { subjectId: person(0) },
  { subjectId: person(1) },
  { subjectId: randomUUID() },
  { actorId: person(0) },
  { actorId: person(3) },
  { actorId: person(2) },
  { actorId: randomUUID() },
  ...['order.placed', 'order.held', 'user.signed-in', 'api-key.created', 'order.lost'].map((action) => ({
    action,
  })),
  ...['order', 'user', 'api-key', 'access', 'parcel'].map((subjectType) => ({ subjectType })),
  { from: ago(0.6), to: ago(0.4) },
  { to: ago(0.99) },
  { from: ago(-1) },
  { actorId: person(3), subjectType: 'order' },
  { actorId: person(3), action: 'order.held' },
  { actorId: person(3), action: 'order.lost' },
  { subjectId: person(0), action: 'order.held', from: ago(0.6), to: ago(0.4) },
];

const folder = await mkdtemp(join(tmpdir(), 'ordo-events-'));
await chmod(folder, 0o755);
const server = await startEmbeddedDatabase(folder, { durable: false });
const client = new pg.Client({ connectionString: server.superuserUrl });
const dataSource = new DataSource(dataSourceOptions(server.superuserUrl, 1));
const audit = new AuditService(dataSource);
try {
  await migrate(server.ownerUrl);
  await client.connect();
  await dataSource.initialize();
  await main();
} finally {
  await dataSource.destroy();
  await client.end();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}

async function main() {
  const started = performance.now();
  await loadCrowd(client, { users: 5_000, orders: 10, events: EVENTS });
  await client.query('VACUUM (ANALYZE) audit_events');
  const { rows } = await client.query(`
    SELECT (SELECT count(*) FROM audit_events) AS events, pg_size_pretty(pg_table_size('audit_events')) AS rows,
           pg_size_pretty(pg_indexes_size('audit_events')) AS indexes`);
  const [{ events, rows: size, indexes }] = rows;
  console.log(`${events} events, ${size}, indexes ${indexes}; ${seconds(started)} s to load`);
  const places = await Promise.all([0, 0.5, 1 - 200 / EVENTS].map(placeAt));
  console.log('buffers | first, ms | again, ms | events | filters');
  for (const filters of searches) await report(filters, places);
}

/** The id after which a page starts that is so far down the list. */
async function placeAt(share) {
  if (share === 0) return undefined;
  const { rows } = await client.query(`SELECT uuidv7(make_interval(mins => -$1::integer)) AS id`, [
    Math.round(share * EVENTS),
  ]);
  return rows[0].id;
}

async function report(filters, places) {
  const pages = [];
  for (const after of places) {
    const [first, again] = [await readPage(filters, after), await readPage(filters, after)];
    const buffers = [];
    for (const planning of ['custom', 'generic']) buffers.push(await pageBuffers(filters, after, planning));
    const { events } = first;
    pages.push({
      first: first.milliseconds,
      again: again.milliseconds,
      buffers: Math.max(...buffers),
      events,
    });
  }
  const most = (what) => Math.max(...pages.map((page) => page[what]));
  const cells = [
    String(most('buffers')).padStart(7),
    most('first').toFixed(1).padStart(9),
    most('again').toFixed(1).padStart(9),
    String(most('events')).padStart(6),
  ];
  console.log([...cells, JSON.stringify(filters)].join(' | '));
}

async function readPage(filters, after) {
  const started = performance.now();
  const { data } = await audit.list({ ...filters, limit: LIMIT }, after);
  return { milliseconds: performance.now() - started, events: data.length };
}

async function pageBuffers(filters, after, planning) {
  const { sql, parameters } = eventsThatFit(filters).statement(LIMIT, after);
  const values = parameters.map((value) => pg.escapeLiteral(String(value))).join(', ');
  await client.query(`SET plan_cache_mode = force_${planning}_plan`);
  await client.query(`PREPARE page AS ${sql}`);
  const { rows } = await client.query(
    `EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE page (${values})`,
  );
  await client.query('DEALLOCATE page');
  const [{ Plan: plan }] = rows[0]['QUERY PLAN'];
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

function seconds(started) {
  return ((performance.now() - started) / 1_000).toFixed(0);
}
