import type { ChildProcess } from 'node:child_process';
import { randomInt, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { readBacklog } from '../../src/audit/sealing/backlog.js';
import { seal } from '../../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { kill, startScript } from '../support/child.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { addEvent, addEvents, expectSound, gapsOf } from '../support/log.js';
import { createFolder, eventually, startProcess } from '../support/process.js';
import { createPublisher } from '../support/publisher.js';
import { eventRow, insert, userRow } from '../support/rows.js';
import { ADMIN_PASSWORD, testConfig } from '../support/service.js';

/** Seconds of the stress; more with SEALER_STRESS_SECONDS. */
const SECONDS = Number(process.env.SEALER_STRESS_SECONDS ?? 3);
const WRITERS = 16;
const SUBJECTS = 12;

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
  const child = await startScript(new URL('../support/seal-forever.mjs', import.meta.url), [
    database.serviceUrl,
  ]);
  children.push(child);
  return child;
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

/** Users whose versions the writers change, and a connection for each writer. */
async function prepare(): Promise<{ subjects: string[]; writers: pg.Client[] }> {
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
  return { subjects, writers: await Promise.all(Array.from({ length: WRITERS }, () => database.connect())) };
}

async function count(table: string): Promise<number> {
  const [row] = await database.query<{ n: number }>(`SELECT count(*)::integer AS n FROM ${table}`);
  return row?.n ?? 0;
}

/** Every event has a leaf, some after later ones; several checkpoints were published. Tells the figures of a long run. */
async function expectSealed(committed: number, figures: Record<string, number>): Promise<void> {
  await untilSealed();
  expect(await count('audit_leaves')).toBe(committed);
  const late = await database.query(
    `SELECT FROM audit_leaves AS one JOIN audit_leaves AS next ON next.leaf_index = one.leaf_index + 1
      WHERE next.event_seq < one.event_seq`,
  );
  const checkpoints = await count('audit_checkpoints');
  expect(checkpoints).toBeGreaterThan(1);
  if (SECONDS > 3) {
    const told = { seconds: SECONDS, committed, ...figures, late: late.length, checkpoints };
    process.stdout.write(`${JSON.stringify(told)}\n`);
  }
  await expectSound(database);
}

const sum = (counts: readonly number[]) => counts.reduce((total, each) => total + each, 0);
const PATIENCE_MS = (3 * SECONDS + 90) * 1_000;

it(
  `sixteen writers, four rivals and kills for ${SECONDS} s: no event is lost, none is out of order`,
  async () => {
    const { subjects, writers } = await prepare();
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
    const written = Promise.all(writers.map((client) => write(client, subjects, signal)));
    const work = [rival(), rival(), publish(), victim(), victim()];
    await delay(SECONDS * 1_000);
    ending.abort();
    const counts = await written;
    await Promise.all(work);
    expect([seals > 0, kills > 0]).toEqual([true, true]);
    await expectSealed(SUBJECTS + sum(counts), { seals, kills });
  },
  PATIENCE_MS,
);

it(
  `sixteen writers and four services, of which one after the other is killed, for ${SECONDS} s: the same`,
  async () => {
    const { folder, remove } = await createFolder();
    const sink = join(folder, 'checkpoint');
    const start = async () => {
      const service = startProcess(folder, {
        DATABASE_URL: database.serviceUrl,
        ORDO_SECRET: testConfig(database).ORDO_SECRET,
        ADMIN_PASSWORD,
        AUDIT_CHECKPOINT_SINK: sink,
      });
      children.push(service.process);
      await service.listening();
      return service.process;
    };
    const services = [await start(), ...(await Promise.all([start(), start(), start()]))];
    const { subjects, writers } = await prepare();
    const before = await count('audit_events');
    const ending = new AbortController();
    const { signal } = ending;
    const isOver = () => signal.aborted;
    let kills = 0;
    const killing = async () => {
      for (let victim = 0; !isOver(); victim = (victim + 1) % services.length) {
        await delay(randomInt(500));
        const [killed] = services.splice(victim, 1, await start());
        if (killed !== undefined) await kill(killed);
        kills += 1;
      }
    };
    const work = killing();
    const written = Promise.all(writers.map((client) => write(client, subjects, signal)));
    await delay(SECONDS * 1_000);
    ending.abort();
    const counts = await written;
    await work;
    // Nobody but the services has sealed so far, and they are not over.
    await eventually(async () => {
      expect(await count('audit_leaves')).toBeGreaterThan(before + sum(counts) / 2);
    });
    for (const service of services) await kill(service);
    expect(kills).toBeGreaterThan(0);
    await expectSealed(before + sum(counts), { kills });
    const note = await readFile(sink, 'utf8');
    const kept = await database.query('SELECT FROM audit_checkpoints WHERE note = $1', [note]);
    // The last one may have been killed between sink and database.
    const [newest] = await database.query<{ size: number }>(
      'SELECT max(size) AS size FROM audit_checkpoints',
    );
    expect(kept.length === 1 || Number(note.split('\n')[1]) > (newest?.size ?? 0)).toBe(true);
    await remove();
  },
  PATIENCE_MS,
);
