import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { readBacklog } from '../src/audit/sealing/backlog.js';
import { seal } from '../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../src/database/data-source.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { addEvent, addEvents, expectSound, gapsOf } from './support/log.js';
import { eventually } from './support/process.js';
import { createPublisher } from './support/publisher.js';
import { eventRow, insert, userRow } from './support/rows.js';

/** Seconds of the stress; more with SEALER_STRESS_SECONDS. */
const SECONDS = Number(process.env.SEALER_STRESS_SECONDS ?? 3);
const WRITERS = 16;
const SUBJECTS = 12;
const CHILD = new URL('./support/seal-forever.mjs', import.meta.url).pathname;

let database: TestDatabase;
let dataSource: DataSource;
const children: ChildProcess[] = [];
beforeEach(async () => {
  database = await createDatabase();
  dataSource = await new DataSource(dataSourceOptions(database.serviceUrl, 4)).initialize();
});
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  await dataSource.destroy();
  await database.drop();
});

/** A process that seals as fast as it can. */
async function startSealing(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [CHILD, database.serviceUrl], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const isReady = await Promise.race([
    once(child.stdout, 'data').then(() => true),
    once(child, 'exit').then(() => false),
  ]);
  if (!isReady) throw new Error('The process that should seal has ended');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

/** Seals what is left; a transaction of a killed process may still be ending. */
async function untilSealed(): Promise<void> {
  await eventually(async () => {
    await seal(dataSource).catch(() => undefined);
    const { hasWork, unsealed } = await readBacklog(dataSource);
    expect([hasWork, unsealed, await gapsOf(database)]).toEqual([false, 0, []]);
  });
}

it.each(['audit_sealing', 'audit_leaves', 'audit_subtrees', 'audit_gaps'])(
  'killed while it waits for %s, a process leaves nothing half done',
  async (table) => {
    const [writer, owner] = [await database.connect(), await database.connect(database.ownerUrl)];
    await writer.query('BEGIN');
    await addEvent(writer);
    await addEvents(await database.connect(), 300);
    await owner.query(`BEGIN; LOCK TABLE ${table} IN SHARE MODE`);
    const child = await startSealing();
    const waiting = () =>
      database.query(`SELECT FROM pg_locks WHERE relation = '${table}'::regclass AND NOT granted`);
    await eventually(async () => {
      expect(await waiting()).toHaveLength(1);
    });
    await kill(child);
    await owner.query('COMMIT');
    await writer.query('COMMIT');
    await untilSealed();
    await expectSound(database);
  },
);

/** Writes until told to stop, in every way that transactions go; returns how many events it has committed. */
async function write(client: pg.Client, subjects: readonly string[], signal: AbortSignal): Promise<number> {
  let committed = 0;
  while (!signal.aborted) {
    let events = 0;
    await client.query('BEGIN');
    for (let change = randomInt(1, 4); change > 0; change--) {
      const kind = randomInt(10);
      if (kind === 0) {
        await client.query('SAVEPOINT s');
        await addEvent(client);
        await client.query('ROLLBACK TO s');
      } else if (kind < 3) {
        await client.query('SAVEPOINT s');
        await addEvent(client);
        await client.query('RELEASE s');
        events += 1;
      } else if (kind < 5) {
        await addEvents(client, 20);
        events += 20;
      } else if (change === 1) {
        // One subject at the end of a transaction at most: in another order they would wait for each other for ever.
        await changeSubject(client, subjects[randomInt(subjects.length)] ?? '');
        events += 1;
      }
      if (randomInt(20) === 0) await client.query('SELECT pg_sleep($1)', [Math.random() * 0.3]);
    }
    const isKept = randomInt(6) > 0;
    await client.query(isKept ? 'COMMIT' : 'ROLLBACK');
    if (isKept) committed += events;
  }
  return committed;
}

async function changeSubject(client: pg.Client, id: string): Promise<void> {
  const { rows } = await client.query<{ version: number }>(
    'UPDATE users SET version = version + 1, name = name WHERE id = $1 RETURNING version',
    [id],
  );
  await addEvent(client, { id, version: rows[0]?.version ?? 0 });
}

it(
  `sixteen writers, four rivals and kills for ${SECONDS} s: no event is lost, none is out of order`,
  async () => {
    const admin = await database.connect();
    const subjects = Array.from({ length: SUBJECTS }, () => randomUUID());
    for (const id of subjects) {
      await admin.query('BEGIN');
      for (const [sql, ...parameters] of [
        insert('users', userRow(id)),
        insert('audit_events', eventRow('user', id)),
      ]) {
        await admin.query(sql, parameters);
      }
      await admin.query('COMMIT');
    }
    const ending = new AbortController();
    const { signal } = ending;
    let [seals, kills] = [0, 0];
    const rival = async () => {
      while (!signal.aborted) {
        const sealed = await seal(dataSource).catch(() => 'busy' as const);
        if (sealed !== 'busy' && sealed.leaves > 0) seals += 1;
      }
    };
    const publish = async () => {
      const publisher = createPublisher(database, dataSource);
      while (!signal.aborted) {
        await publisher.turn(signal);
        await delay(100);
      }
    };
    const victim = async () => {
      while (!signal.aborted) {
        const child = await startSealing();
        await delay(randomInt(400));
        await kill(child);
        kills += 1;
      }
    };
    const writers = await Promise.all(Array.from({ length: WRITERS }, () => database.connect()));
    const work = [
      ...writers.map((client) => write(client, subjects, signal)),
      rival(),
      rival(),
      publish(),
      victim(),
      victim(),
    ];
    await delay(SECONDS * 1_000);
    ending.abort();
    const counts = await Promise.all(work);
    const committed = counts.slice(0, WRITERS).reduce<number>((sum, count) => sum + (count ?? 0), SUBJECTS);
    await untilSealed();
    const [leaves] = await database.query<{ n: number }>('SELECT count(*)::integer AS n FROM audit_leaves');
    expect([leaves?.n, seals > 0, kills > 0]).toEqual([committed, true, true]);
    const late = await database.query(
      `SELECT FROM audit_leaves AS one JOIN audit_leaves AS next ON next.leaf_index = one.leaf_index + 1
        WHERE next.event_seq < one.event_seq`,
    );
    const checkpoints = await database.query('SELECT FROM audit_checkpoints');
    expect(checkpoints.length).toBeGreaterThan(1);
    if (SECONDS > 3) {
      const figures = { committed, seals, kills, late: late.length, checkpoints: checkpoints.length };
      process.stdout.write(`${JSON.stringify(figures)}\n`);
    }
    await expectSound(database);
  },
  (3 * SECONDS + 60) * 1_000,
);
