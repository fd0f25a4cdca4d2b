import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { parseTreeHead } from '../../src/audit/log/checkpoint.js';
import { readBacklog } from '../../src/audit/sealing/backlog.js';
import { seal } from '../../src/audit/sealing/seal.js';
import { dataSourceOptions } from '../../src/database/data-source.js';
import { kill, startScript } from '../support/child.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { addEvent, addEvents, expectSound, gapsOf } from '../support/log.js';
import { eventually } from '../support/process.js';
import { type CuttingProxy, startProxy } from '../support/proxy.js';
import { createPublisher } from '../support/publisher.js';
import { testConfig } from '../support/service.js';

/*
 * A proxy holds a process up at the statement of a name, which then is killed. `COMMIT` alone is the statement: it ends
 * with a zero there, other than in READ COMMITTED.
 */
const COMMIT = 'COMMIT\0';

let database: TestDatabase;
let dataSource: DataSource;
let proxy: CuttingProxy;
beforeAll(async () => {
  database = await createDatabase();
  dataSource = await new DataSource(dataSourceOptions(database.serviceUrl, 2)).initialize();
  proxy = await startProxy(database.serviceUrl);
});
afterAll(async () => {
  await proxy.stop();
  await dataSource.destroy();
  await database.drop();
});

async function leaves(): Promise<number> {
  const [row] = await database.query<{ n: number }>('SELECT count(*)::integer AS n FROM audit_leaves');
  return row?.n ?? 0;
}

async function untilSealed(): Promise<void> {
  await eventually(async () => {
    await seal(dataSource).catch(() => undefined);
    const { hasWork, unsealed } = await readBacklog(dataSource);
    expect([hasWork, unsealed, await gapsOf(database)]).toEqual([false, 0, []]);
  });
}

describe('a sealing process that is killed', () => {
  /** Statements in the order in which `seal` makes them. */
  const steps: [name: string, bytes: string, direction: 'request' | 'answer'][] = [
    ['at the beginning of its transaction', 'REPEATABLE READ', 'request'],
    ['before it becomes the sealer', 'ordo_sealer', 'request'],
    ['before it takes the lock', 'pg_try_advisory_xact_lock', 'request'],
    ['before it reads the position', 'FOR NO KEY UPDATE', 'request'],
    ['before it reads the size', 'max(leaf_index)', 'request'],
    ['before it adds leaves', 'INSERT INTO audit_leaves', 'request'],
    ['before it reads the tile that it completes', 'wanted.level', 'request'],
    ['before it adds subtrees', 'INSERT INTO audit_subtrees', 'request'],
    ['before it looks for the gaps of late events', 'AS late (seq)', 'request'],
    ['before it removes the gaps that are filled', 'DELETE FROM audit_gaps WHERE first_seq', 'request'],
    ['before it forgets gaps', 'WHERE horizon <=', 'request'],
    ['before it adds gaps', 'INSERT INTO audit_gaps', 'request'],
    ['before it writes the position', 'UPDATE audit_sealing', 'request'],
    ['before its COMMIT arrives', COMMIT, 'request'],
    ['before it learns of its COMMIT', COMMIT, 'answer'],
  ];

  it.each(steps)('%s, leaves all or nothing', async (name, bytes, direction) => {
    const [late, open] = [await database.connect(), await database.connect()];
    await late.query('BEGIN');
    await addEvent(late);
    await addEvents(await database.connect(), 300);
    await seal(dataSource);
    await open.query('BEGIN');
    await addEvent(open);
    await late.query('COMMIT');
    await addEvents(late, 300);
    const before = await leaves();

    const stalled = proxy.stallAt(bytes, direction);
    const child = await startScript(new URL('../support/seal-forever.mjs', import.meta.url), [proxy.url]);
    await stalled;
    const isCommitted = direction === 'answer';
    await eventually(async () => {
      expect(await leaves()).toBe(isCommitted ? before + 301 : before);
    });
    await kill(child);
    expect([name, await leaves()]).toEqual([name, isCommitted ? before + 301 : before]);
    await open.query('COMMIT');
    await untilSealed();
    expect(await leaves()).toBe(before + 302);
  });

  it('has left a sound log each time', async () => {
    await expectSound(database);
  });
});

describe('a publishing process that is killed', () => {
  const signal = new AbortController().signal;
  let sink: HoldingSink;
  beforeAll(async () => {
    sink = await HoldingSink.start();
  });
  afterAll(() => sink.stop());

  beforeEach(async () => {
    await addEvents(await database.connect(), 10);
    await untilSealed();
  });

  const published = async () => {
    const [row] = await database.query<{ size: number }>('SELECT max(size) AS size FROM audit_checkpoints');
    return row?.size ?? null;
  };
  const kept = () => (sink.note === undefined ? null : headOf(sink.note).size);

  /** Where it is held, and what has the new checkpoint by then. */
  const steps: [name: string, hold: () => Promise<void>, inSink: boolean, inDatabase: boolean][] = [
    ['while it reads the sink', () => sink.holdAt('GET'), false, false],
    ['while it reads the tree', () => proxy.stallAt('max(leaf_index)'), false, false],
    ['before the sink keeps the checkpoint', () => sink.holdAt('PUT'), false, false],
    ['before it learns that the sink has kept it', () => sink.holdAt('answer'), true, false],
    ['between sink and database', () => proxy.stallAt('INSERT INTO audit_checkpoints'), true, false],
    ['before its COMMIT arrives', () => proxy.stallAt(COMMIT), true, false],
    ['before it learns of its COMMIT', () => proxy.stallAt(COMMIT, 'answer'), true, true],
  ];

  it.each(steps)(
    '%s, serves nothing that is not kept, and the next one goes on',
    async (_, hold, ...news) => {
      const [sizeBefore, sizeNow] = [await published(), await leaves()];
      const held = hold();
      const secret = testConfig(database).ORDO_SECRET;
      const child = await startScript(new URL('../support/publish-forever.mjs', import.meta.url), [
        proxy.url,
        sink.url,
        secret,
      ]);
      await held;
      const [inSink, inDatabase] = news;
      const expected = [inSink ? sizeNow : sizeBefore, inDatabase ? sizeNow : sizeBefore];
      await eventually(async () => {
        expect([kept(), await published()]).toEqual(expected);
      });
      await kill(child);
      sink.letGo();
      expect([kept(), await published()]).toEqual(expected);
      const next = createPublisher(database, dataSource, {
        AUDIT_CHECKPOINT_SINK: { url: new URL(sink.url) },
      });
      await next.turn(signal);
      expect([kept(), await published()]).toEqual([sizeNow, sizeNow]);
      const [row] = await database.query<{ note: string }>(
        'SELECT note FROM audit_checkpoints ORDER BY size DESC LIMIT 1',
      );
      expect(headOf(sink.note ?? '')).toEqual(headOf(row?.note ?? ''));
    },
  );

  it('has left checkpoints of one tree', async () => {
    await expectSound(database);
  });
});

function headOf(note: string) {
  return parseTreeHead(note.slice(0, note.indexOf('\n\n') + 1));
}

/** Keeps what is PUT, but not before it is let go where a request is held. */
class HoldingSink {
  note: string | undefined;
  private held: { at: 'GET' | 'PUT' | 'answer'; sprung: () => void } | undefined;
  private gate = Promise.withResolvers<void>();

  private constructor(private readonly server: Server) {}

  static async start(): Promise<HoldingSink> {
    const server = createServer((request, response) => {
      void (async () => {
        const body = (await request.toArray()).join('');
        const isPut = request.method === 'PUT';
        if (!(await sink.pass(isPut ? 'PUT' : 'GET'))) return;
        if (isPut) sink.note = body;
        if (isPut && !(await sink.pass('answer'))) return;
        if (isPut) response.writeHead(204).end();
        else response.writeHead(sink.note === undefined ? 404 : 200).end(sink.note);
      })();
    });
    const sink = new HoldingSink(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return sink;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/checkpoint`;
  }

  /** Holds the next request there, which is never answered; resolves when it is held. */
  holdAt(at: 'GET' | 'PUT' | 'answer'): Promise<void> {
    return new Promise((resolve) => {
      this.held = { at, sprung: resolve };
    });
  }

  letGo(): void {
    this.gate.resolve();
    this.gate = Promise.withResolvers();
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  /** False for a request that was held. */
  private async pass(at: 'GET' | 'PUT' | 'answer'): Promise<boolean> {
    if (this.held?.at !== at) return true;
    const { sprung } = this.held;
    this.held = undefined;
    sprung();
    await this.gate.promise;
    return false;
  }
}
