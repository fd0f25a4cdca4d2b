// What the audit log costs and how fast it is, on a PostgreSQL of its own and in this process.
//
//   node scripts/build-if-stale.mjs && node scripts/measure-log.mjs [leaves]     (1,000,000)
//
// It prints events sealed a second, the milliseconds in which the service reads a proof of inclusion at that many leaves,
// leaves that `verify` computes a second once it has read them, and what a transaction that writes one row takes with its
// event and without, straight at the database: the share of a request over HTTP is less.
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { storedProof, storedRoots, storedSize } from '../dist/src/audit/log/stored-tree.js';
import {
  foldRoots,
  leafHash,
  nodesOfInclusion,
  nodesOfRoot,
  verifyInclusion,
} from '../dist/src/audit/log/tree.js';
import { BATCH, seal } from '../dist/src/audit/sealing/seal.js';
import { RightEdge } from '../dist/src/audit/log/right-edge.js';
import { dataSourceOptions } from '../dist/src/database/data-source.js';
import { grantServiceRole, startEmbeddedDatabase } from '../dist/src/database/embedded/embedded-database.js';
import { migrate } from '../dist/src/database/migrate.js';

const LEAVES = Number(process.argv[2] ?? 1_000_000);
const PROOFS = 1_000;
const TILE = 256;

const folder = await mkdtemp(join(tmpdir(), 'ordo-measure-'));
await chmod(folder, 0o755);
const server = await startEmbeddedDatabase(folder);
await migrate(server.ownerUrl);
await grantServiceRole(server);
const client = new pg.Client({ connectionString: server.superuserUrl });
await client.connect();
const dataSource = await new DataSource(dataSourceOptions(server.serviceUrl, 2)).initialize();
try {
  await main();
} finally {
  await dataSource.destroy();
  await client.end();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}

async function main() {
  await addEvents(LEAVES);
  await measureSealing();
  await measureProofs();
  await measureVerifying();
  await measureEvent();
}

/** Each has an entry as long as those of the service. */
async function addEvents(count) {
  await client.query(
    `INSERT INTO audit_events (id, at, actor_type, action, subject_type, subject_id, subject_version, request_id, entry)
     SELECT uuidv7(), now(), 'system', 'user.touched', 'user', gen_random_uuid(), 1, gen_random_uuid(),
            convert_to(repeat('x', 400) || n, 'UTF8') FROM generate_series(1, $1::integer) AS n`,
    [count],
  );
}

async function measureSealing() {
  const times = [];
  for (let leaves = BATCH; leaves === BATCH;) {
    const started = performance.now();
    ({ leaves } = await seal(dataSource));
    if (leaves === BATCH) times.push(performance.now() - started);
  }
  const total = times.reduce((sum, time) => sum + time, 0);
  tell('sealing', `${rate(times.length * BATCH, total)} events/s; a batch of ${BATCH}: ${spread(times)} ms`);
}

async function measureProofs() {
  const size = await storedSize(dataSource.manager);
  const root = foldRoots(await storedRoots(dataSource.manager, nodesOfRoot(size)));
  const times = [];
  for (let proof = 0; proof < PROOFS; proof++) {
    const index = Math.floor(Math.random() * size);
    const started = performance.now();
    const hashes = await storedProof(dataSource.manager, nodesOfInclusion(index, size));
    times.push(performance.now() - started);
    const [leaf] = await dataSource.query('SELECT hash FROM audit_leaves WHERE leaf_index = $1', [index]);
    if (!verifyInclusion(leaf.hash, index, size, hashes, root))
      throw new Error(`leaf ${index} is not proven`);
  }
  tell(`a proof at ${size} leaves`, `${spread(times)} ms, one at a time`);
}

/** What `verify` does with each tile once it has been read: hash the entries, compare, climb. */
async function measureVerifying() {
  const size = await storedSize(dataSource.manager);
  const edge = new RightEdge();
  const { rows } = await client.query(
    'SELECT leaf_index, entry FROM audit_events JOIN audit_leaves ON event_seq = seq ORDER BY leaf_index LIMIT 256',
  );
  const entries = rows.map(({ entry }) => entry);
  const started = performance.now();
  for (let tile = 0; tile < size / TILE; tile++) edge.add(entries.map(leafHash));
  tell('verifying, without reading', `${rate(size, performance.now() - started)} leaves/s`);
}

/** The same row with and without its event, in turns, committed each. */
async function measureEvent() {
  const entry = Buffer.alloc(420, 'x');
  const state = Buffer.alloc(900, 'y');
  await client.query('CREATE TABLE plain (id uuid PRIMARY KEY, body bytea NOT NULL)');
  const times = { without: [], with: [] };
  for (let round = 0; round < 2_000; round++) {
    for (const kind of round % 2 === 0 ? ['without', 'with'] : ['with', 'without']) {
      const started = performance.now();
      await client.query('BEGIN');
      await client.query('INSERT INTO plain VALUES ($1, $2)', [randomUUID(), state]);
      if (kind === 'with') {
        await client.query(
          `INSERT INTO audit_events (id, at, actor_type, action, subject_type, subject_id, subject_version, request_id,
                                     entry, salt, state)
           VALUES (uuidv7(), now(), 'system', 'order.placed', 'order', $1, 1, $1, $2, $3, $4)`,
          [randomUUID(), entry, entry.subarray(0, 16), state],
        );
      }
      await client.query('COMMIT');
      times[kind].push(performance.now() - started);
    }
  }
  const [without, withEvent] = [median(times.without), median(times.with)];
  tell(
    'a transaction of one row',
    `${without.toFixed(2)} ms, with its event ${withEvent.toFixed(2)} ms (${(withEvent / without).toFixed(2)})`,
  );
}

function tell(what, figures) {
  console.log(`${what}: ${figures}`);
}

function rate(count, milliseconds) {
  return Math.round((1_000 * count) / milliseconds).toLocaleString('en');
}

function spread(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(1);
  return `median ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)}`;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
