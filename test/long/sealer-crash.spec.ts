import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { readBacklog } from '../../src/audit/sealing/backlog.js';
import { seal } from '../../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../../src/database/data-source.js';
import {
  type EmbeddedDatabase,
  grantServiceRole,
  startEmbeddedDatabase,
} from '../../src/database/embedded/embedded-database.js';
import { migrate } from '../../src/database/migrate.js';
import type { TestDatabase } from '../support/database.js';
import { addEvent, addEvents, expectSound, gapsOf } from '../support/log.js';
import { eventually } from '../support/process.js';

const folders: string[] = [];
const closing: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const close of closing.reverse()) await close().catch(() => undefined);
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

interface Cluster extends Pick<TestDatabase, 'query'> {
  readonly server: EmbeddedDatabase;
  readonly dataSource: DataSource;
  connect(): Promise<pg.Client>;
  /** Stops PostgreSQL at once, as if the machine had failed; it comes back by itself. */
  crash(): Promise<void>;
}

/** A PostgreSQL of its own. A crash costs what was committed last, as it does without synchronous_commit. */
async function startCluster(): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'ordo-crash-'));
  await chmod(folder, 0o755);
  folders.push(folder);
  const server = await startEmbeddedDatabase(join(folder, '.ordo'), { durable: false });
  closing.push(() => server.stop());
  await migrate(server.ownerUrl);
  await grantServiceRole(server);
  const dataSource = await new DataSource(dataSourceOptions(server.serviceUrl, 4)).initialize();
  closing.push(() => dataSource.destroy());
  const connect = async (url = server.serviceUrl) => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    closing.push(() => client.end());
    return client;
  };
  return {
    server,
    dataSource,
    connect: () => connect(),
    async query<Row extends pg.QueryResultRow>(sql: string, parameters: unknown[] = []) {
      const client = new pg.Client({ connectionString: server.superuserUrl });
      await client.connect();
      try {
        return (await client.query<Row>(sql, parameters)).rows;
      } finally {
        await client.end();
      }
    },
    async crash() {
      const [pid] = (await readFile(join(folder, '.ordo/postgres/postmaster.pid'), 'utf8')).split('\n');
      process.kill(Number(pid), 'SIGQUIT');
      await eventually(async () => {
        const found = await readFile(join(folder, '.ordo/postgres/postmaster.pid'), 'utf8');
        expect(found.split('\n')[0]).not.toBe(pid);
        await (await connect()).end();
      });
    },
  };
}

async function untilSealed({ dataSource, query }: Cluster): Promise<void> {
  await eventually(async () => {
    await seal(dataSource).catch(() => undefined);
    expect([(await readBacklog(dataSource)).hasWork, await gapsOf({ query })]).toEqual([false, []]);
  });
}

/** Writes small transactions, of which some are rolled back and all overlap, until told to stop; whatever fails. */
async function write(cluster: Cluster, signal: AbortSignal): Promise<void> {
  const isOver = () => signal.aborted;
  while (!isOver()) {
    try {
      const client = await cluster.connect();
      while (!isOver()) {
        await client.query('BEGIN');
        await addEvents(client, 5);
        await addEvent(client);
        await client.query(Math.random() < 0.2 ? 'ROLLBACK' : 'COMMIT');
      }
    } catch {
      // The server is away: on to the next connection.
    }
  }
}

async function sealOn({ dataSource }: Cluster, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await seal(dataSource).catch(() => undefined);
}

/** Copies the audit tables, as a restored dump brings them: the rows, and nothing of the transactions behind them. */
async function restore(from: Cluster, to: Cluster): Promise<void> {
  const superuser = new pg.Client({ connectionString: to.server.superuserUrl });
  await superuser.connect();
  await superuser.query('SET session_replication_role = replica; DELETE FROM audit_sealing');
  for (const table of ['audit_events', 'audit_leaves', 'audit_subtrees', 'audit_gaps', 'audit_sealing']) {
    const [columns] = await from.query<{ names: string }>(
      `SELECT string_agg(column_name, ', ') AS names FROM information_schema.columns
        WHERE table_name = $1 AND is_generated = 'NEVER'`,
      [table],
    );
    const [dump] = await from.query<{ rows: string }>(
      `SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')::text AS rows FROM ${table} AS t`,
    );
    await superuser.query(
      `INSERT INTO ${table} (${columns?.names}) OVERRIDING SYSTEM VALUE
       SELECT ${columns?.names} FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`,
      [dump?.rows],
    );
  }
  const [sequence] = await from.query<{ last: string }>(
    'SELECT last_value AS last FROM audit_events_seq_seq',
  );
  await superuser.query(`SELECT setval('audit_events_seq_seq', $1)`, [sequence?.last]);
  await superuser.end();
}

it('a crash of PostgreSQL and a restore into another cluster lose nothing that is there', async () => {
  const cluster = await startCluster();
  const ending = new AbortController();
  const work = [
    ...Array.from({ length: 6 }, () => write(cluster, ending.signal)),
    sealOn(cluster, ending.signal),
    sealOn(cluster, ending.signal),
  ];
  const leaves = async () => {
    const [row] = await cluster.query<{ n: number }>('SELECT count(*)::integer AS n FROM audit_leaves');
    return row?.n ?? 0;
  };
  for (let crash = 0; crash < 2; crash++) {
    const before = await leaves();
    await eventually(async () => {
      expect(await leaves()).toBeGreaterThan(before + 100);
    });
    await cluster.crash();
  }
  ending.abort();
  await Promise.all(work);
  await untilSealed(cluster);
  await expectSound(cluster);

  const open = await cluster.connect();
  await open.query('BEGIN');
  await addEvents(open, 3);
  await addEvents(await cluster.connect(), 3);
  await seal(cluster.dataSource);
  expect(await gapsOf(cluster)).toHaveLength(1);
  const other = await startCluster();
  const [horizon] = await cluster.query<{ xid: string }>('SELECT max(horizon) AS xid FROM audit_gaps');
  const [current] = await other.query<{ xid: string }>('SELECT pg_current_xact_id() AS xid');
  expect(Number(current?.xid)).toBeLessThan(Number(horizon?.xid));
  await restore(cluster, other);
  await addEvents(await other.connect(), 3);
  await untilSealed(other);
  await expectSound(other);
}, 120_000);
