import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { parseTreeHead } from '../src/audit/log/checkpoint.js';
import { openNote, signNote, verifierOf } from '../src/audit/log/note.js';
import { seal } from '../src/audit/sealing/seal.js';
import type { ServiceConfig } from '../src/config/config.js';
import { dataSourceOptions } from '../src/database/data-source.js';
import { Metrics } from '../src/metrics/metrics.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { addEvents, expectSound, naiveRoot } from './support/log.js';
import { eventually } from './support/process.js';
import { createPublisher } from './support/publisher.js';
import { startService, type TestService } from './support/service.js';

const ORIGIN = 'log.example/orders';
const key = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const KEY = key();
const signal = new AbortController().signal;

let database: TestDatabase;
let dataSource: DataSource;
let writer: pg.Client;
beforeEach(async () => {
  database = await createDatabase();
  dataSource = await new DataSource(dataSourceOptions(database.serviceUrl, 4)).initialize();
  writer = await database.connect();
});
afterEach(async () => {
  await dataSource.destroy();
  await database.drop();
});

/** A process that has just started. */
const publisher = (settings: Partial<ServiceConfig> = {}) =>
  createPublisher(database, dataSource, { AUDIT_ORIGIN: ORIGIN, AUDIT_SIGNING_KEY: [KEY], ...settings });

async function grow(count: number): Promise<void> {
  await addEvents(writer, count);
  await seal(dataSource);
}

interface Published extends Record<string, unknown> {
  origin: string;
  size: number;
  note: string;
}
const published = () =>
  database.query<Published>('SELECT origin, size, note FROM audit_checkpoints ORDER BY size');
const sizes = async () => (await published()).map(({ size }) => size);

async function leafHashes(): Promise<Buffer[]> {
  const rows = await database.query<{ hash: Buffer }>('SELECT hash FROM audit_leaves ORDER BY leaf_index');
  return rows.map(({ hash }) => hash);
}

/** Runs statements that no role of Ordo may, triggers aside. */
async function tamper(...statements: string[]): Promise<void> {
  const superuser = await database.connect(database.superuserUrl);
  await superuser.query('SET session_replication_role = replica');
  for (const statement of statements) await superuser.query(statement);
}

/** As after a restore of an older backup: the newest leaves and events are gone, and all that tells of them inside. */
async function lose(count: number): Promise<void> {
  await tamper(
    `DELETE FROM audit_events WHERE seq IN (SELECT event_seq FROM audit_leaves ORDER BY leaf_index DESC LIMIT ${count})`,
    `DELETE FROM audit_leaves WHERE NOT EXISTS (SELECT FROM audit_events WHERE seq = event_seq)`,
    `DELETE FROM audit_subtrees WHERE (position + 1) * 256 > (SELECT count(*) FROM audit_leaves)`,
    `UPDATE audit_sealing SET last_seq = (SELECT coalesce(max(seq), 0) FROM audit_events)`,
  );
}
const loseCheckpoints = () => tamper('DELETE FROM audit_checkpoints');

describe('a checkpoint', () => {
  it('is published for an empty log, and for each size that is found after that', async () => {
    const process = publisher();
    await process.turn(signal);
    await process.turn(signal);
    await grow(300);
    await process.turn(signal);
    await grow(3);
    await process.turn(signal);
    expect(await sizes()).toEqual([0, 300, 303]);
    const [, , newest] = await published();
    const head = parseTreeHead(openNote(newest?.note ?? '', [verifierOf({ name: ORIGIN, key: KEY })]));
    expect(head).toEqual({ origin: ORIGIN, size: 303, root: naiveRoot(await leafHashes()) });
    await expectSound(database);
  });

  it('is the same from two processes at once', async () => {
    await grow(5);
    await Promise.all([publisher().turn(signal), publisher().turn(signal)]);
    expect(await sizes()).toEqual([5]);
  });

  it('has the signatures of both keys while one takes over from the other', async () => {
    const next = key();
    await grow(1);
    await publisher().turn(signal);
    await grow(1);
    await publisher({ AUDIT_SIGNING_KEY: [KEY, next] }).turn(signal);
    const [, both] = await published();
    for (const each of [KEY, next]) {
      expect(openNote(both?.note ?? '', [verifierOf({ name: ORIGIN, key: each })])).toMatch(/^log\.example/);
    }
    await grow(1);
    await publisher({ AUDIT_SIGNING_KEY: [next] }).turn(signal);
    expect(await sizes()).toEqual([1, 2, 3]);
  });

  it('is refused when the key is another at once', async () => {
    await grow(1);
    await publisher().turn(signal);
    await grow(1);
    await expect(publisher({ AUDIT_SIGNING_KEY: [key()] }).turn(signal)).rejects.toThrow(/AUDIT_SIGNING_KEY/);
    expect(await sizes()).toEqual([1]);
  });

  it('of another origin begins anew', async () => {
    await grow(3);
    await publisher().turn(signal);
    await lose(2);
    const renamed = { AUDIT_ORIGIN: 'log.example/orders-2', AUDIT_SIGNING_KEY: [key()] };
    await expect(publisher().turn(signal)).rejects.toThrow(/has lost leaves/);
    await publisher(renamed).turn(signal);
    expect(await sizes()).toEqual([1, 3]);
  });
});

describe('nothing is signed that contradicts the newest checkpoint', () => {
  beforeEach(async () => {
    await grow(600);
    await publisher().turn(signal);
  });

  it('when leaves are lost, nor when others have grown in their place', async () => {
    const running = publisher();
    await running.turn(signal);
    await lose(5);
    await expect(running.turn(signal)).rejects.toThrow(
      'has lost leaves: it has 595, the newest checkpoint has 600',
    );
    await grow(20);
    await expect(running.turn(signal)).rejects.toThrow('contradicts the newest checkpoint of size 600');
    await expect(publisher().turn(signal)).rejects.toThrow('contradicts');
    expect(await sizes()).toEqual([600]);
  });

  it.each([
    ['a leaf', `UPDATE audit_leaves SET hash = sha256('') WHERE leaf_index = 599`],
    ['a subtree', `UPDATE audit_subtrees SET hash = sha256('') WHERE position = 1`],
  ])('when %s was changed', async (_, statement) => {
    await tamper(statement);
    await grow(1_000);
    await expect(publisher().turn(signal)).rejects.toThrow('contradicts');
    expect(await sizes()).toEqual([600]);
  });

  it('when a subtree is missing', async () => {
    await tamper('DELETE FROM audit_subtrees WHERE position = 0');
    await grow(1);
    await expect(publisher().turn(signal)).rejects.toThrow('lacks hashes');
    expect(await sizes()).toEqual([600]);
  });

  it('when the checkpoint was made up in the database', async () => {
    await lose(1);
    await tamper(
      `INSERT INTO audit_checkpoints (origin, size, root, note)
       SELECT origin, 599, root, replace(note, E'\\n600\\n', E'\\n599\\n') FROM audit_checkpoints`,
      'DELETE FROM audit_checkpoints WHERE size = 600',
    );
    await grow(1);
    await expect(publisher().turn(signal)).rejects.toThrow(/newest checkpoint is of another log/);
  });
});

const servers: NoteServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.stop())));

/** A server that keeps what is PUT, as object stores and WebDAV do. */
class NoteServer {
  note: string | undefined;
  status: number | undefined;
  readonly requests: { method: string; headers: IncomingHttpHeaders }[] = [];
  private constructor(private readonly server: Server) {}

  static async start(port = 0): Promise<NoteServer> {
    const server = createServer((request, response) => {
      void (async () => {
        const body = (await request.toArray()).join('');
        kept.requests.push({ method: request.method ?? '', headers: request.headers });
        const tag = kept.note === undefined ? undefined : `"${kept.note.length}"`;
        const { 'if-match': match = tag, 'if-none-match': none } = request.headers;
        if (kept.status !== undefined) response.writeHead(kept.status).end();
        else if (request.method === 'PUT' && (match !== tag || (none === '*' && tag !== undefined))) {
          response.writeHead(412).end();
        } else if (request.method === 'PUT') {
          kept.note = body;
          response.writeHead(204).end();
        } else if (tag === undefined) response.writeHead(404).end('nothing');
        else response.writeHead(200, { ETag: tag }).end(kept.note);
      })();
    });
    const kept = new NoteServer(server);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    servers.push(kept);
    return kept;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    if (!this.server.listening) return;
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

const folder = await mkdtemp(join(tmpdir(), 'ordo-sink-'));
afterAll(() => rm(folder, { recursive: true }));

/** Where checkpoints go in these tests, and what reads and writes there besides the service. */
interface Place {
  readonly address: NonNullable<ServiceConfig['AUDIT_CHECKPOINT_SINK']>;
  read(): Promise<string | undefined>;
  write(note: string): Promise<void>;
}

describe.each(['file', 'server'])('a sink that is a %s', (kind) => {
  let place: Place;
  let server: NoteServer;
  beforeEach(async () => {
    server = await NoteServer.start();
    const file = join(folder, `${server.port}`);
    place =
      kind === 'file'
        ? {
            address: { file },
            read: () => readFile(file, 'utf8').catch(() => undefined),
            write: (note) => writeFile(file, note),
          }
        : {
            address: { url: new URL(`http://somebody:pass%20word@127.0.0.1:${server.port}/checkpoint`) },
            read: () => Promise.resolve(server.note),
            write: (note) => {
              server.note = note;
              return Promise.resolve();
            },
          };
  });

  const withSink = (settings: Partial<ServiceConfig> = {}) =>
    publisher({ AUDIT_CHECKPOINT_SINK: place.address, ...settings });

  it('has each checkpoint that is served, and catches up with those of before', async () => {
    await grow(2);
    await publisher().turn(signal);
    const process = withSink();
    await process.turn(signal);
    expect(await place.read()).toBe((await published()).at(-1)?.note);
    await grow(2);
    await process.turn(signal);
    expect(await sizes()).toEqual([2, 4]);
    expect(await place.read()).toBe((await published()).at(-1)?.note);
  });

  it('tells of leaves that were lost with all that the database knew of them', async () => {
    await grow(10);
    await withSink().turn(signal);
    await lose(3);
    await loseCheckpoints();
    await expect(withSink().turn(signal)).rejects.toThrow(/has lost leaves: it has 7, .*SINK has 10/);
    await grow(8);
    await expect(withSink().turn(signal)).rejects.toThrow(/contradicts .*SINK of size 10/);
    expect(await sizes()).toEqual([]);
  });

  it('may be ahead of a log that grows to it', async () => {
    await grow(10);
    await withSink().turn(signal);
    const ahead = (await place.read()) ?? '';
    await loseCheckpoints();
    await withSink().turn(signal);
    expect([await sizes(), await place.read()]).toEqual([[10], ahead]);
  });

  it('is not overwritten when it holds the checkpoint of another log', async () => {
    await grow(1);
    const text = `log.example/other\n1\n${naiveRoot([]).toString('base64')}\n`;
    const names = ['log.example/other', ORIGIN];
    for (const note of names.map((name) => signNote(text, [{ name, key: KEY }]))) {
      await place.write(note);
      await expect(withSink().turn(signal)).rejects.toThrow(/SINK is of another log/);
      expect([await place.read(), await sizes()]).toEqual([note, []]);
    }
  });

  it('is not overwritten when it holds something else, which may be better the next time', async () => {
    await grow(1);
    await withSink().turn(signal);
    const kept = (await place.read()) ?? '';
    await grow(1);
    const page = '<html>Bad gateway</html>';
    await place.write(page);
    const restarted = withSink();
    const turn = restarted.turn(signal);
    await expect(turn).rejects.toThrow(/SINK is none/);
    // A Contradiction would end signing for good.
    await expect(turn).rejects.toMatchObject({ name: 'Obstacle' });
    expect([await place.read(), await sizes()]).toEqual([page, [1]]);
    await place.write(kept);
    await restarted.turn(signal);
    expect(await sizes()).toEqual([1, 2]);
  });

  it('takes over when the key changes', async () => {
    const next = key();
    await grow(1);
    await withSink().turn(signal);
    await grow(1);
    await withSink({ AUDIT_SIGNING_KEY: [KEY, next] }).turn(signal);
    await grow(1);
    await withSink({ AUDIT_SIGNING_KEY: [next] }).turn(signal);
    expect(await sizes()).toEqual([1, 2, 3]);
  });
});

describe('a sink', () => {
  it('that is away keeps checkpoints from being served; no address is told', async () => {
    const server = await NoteServer.start();
    const { port } = server;
    const process = publisher({
      AUDIT_CHECKPOINT_SINK: { url: new URL(`http://user:canary@127.0.0.1:${port}/canary`) },
    });
    await grow(1);
    await process.turn(signal);
    await grow(1);
    server.status = 507;
    await expect(process.turn(signal)).rejects.toThrow('AUDIT_CHECKPOINT_SINK answers 507');
    await server.stop();
    const failure: unknown = await process.turn(signal).catch((error: unknown) => error);
    expect(failure).toMatchObject({ message: 'AUDIT_CHECKPOINT_SINK does not answer (ECONNREFUSED)' });
    expect(JSON.stringify(failure, Object.getOwnPropertyNames(failure))).not.toContain('canary');
    expect(await sizes()).toEqual([1]);
    const again = await NoteServer.start(port);
    await process.turn(signal);
    expect([await sizes(), again.note]).toEqual([[1, 2], (await published()).at(-1)?.note]);
    expect(again.requests[0]?.headers.authorization).toBe(`Basic ${btoa('user:canary')}`);
  });

  it('on a server that another process is faster at keeps what that one put', async () => {
    const server = await NoteServer.start();
    const process = publisher({
      AUDIT_CHECKPOINT_SINK: { url: new URL(`http://127.0.0.1:${server.port}/`) },
    });
    await grow(1);
    await process.turn(signal);
    expect(server.requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '*']);
    await grow(1);
    await process.turn(signal);
    expect(server.requests.at(-1)?.headers['if-match']).toMatch(/^"\d+"$/);
  });

  it('that cannot be written is told of', async () => {
    await grow(1);
    const file = join(folder, 'nowhere', 'checkpoint');
    await expect(publisher({ AUDIT_CHECKPOINT_SINK: { file } }).turn(signal)).rejects.toThrow(
      'AUDIT_CHECKPOINT_SINK fails (ENOENT)',
    );
    expect(await sizes()).toEqual([]);
  });

  it('that is a file can be read by others', async () => {
    const file = join(folder, 'readable');
    await publisher({ AUDIT_CHECKPOINT_SINK: { file } }).turn(signal);
    expect((await stat(file)).mode & 0o777).toBe(0o644);
  });
});

describe('the service', () => {
  let service: TestService;
  afterEach(() => service.stop());

  const metric = async (name: string) => {
    const found = await service.app.get(Metrics).registry.getSingleMetric(`audit_log_${name}`)?.get();
    return found?.values[0]?.value;
  };
  const auditLog = async () => {
    const response = await service.send('get', '/health/ready').expect(200);
    return (response.body as { details: { auditLog: Record<string, unknown> } }).details.auditLog;
  };

  it('seals and publishes beside the requests, and says so', async () => {
    const file = join(folder, 'service');
    service = await startService({ AUDIT_SEALER: 'on', AUDIT_CHECKPOINT_SINK: { file } });
    const count = async () =>
      (await service.database.query<{ n: number }>('SELECT count(*)::integer AS n FROM audit_events'))[0]?.n;
    await eventually(async () => {
      expect(await metric('checkpoint_size')).toBe(await count());
    });
    expect(await auditLog()).toEqual({
      status: 'up',
      unsealed: 0,
      oldestUnsealedSeconds: 0,
      sealing: 'goes on',
      signing: 'goes on',
    });
    expect(await metric('leaves')).toBe(await count());
    expect([await metric('unsealed_events'), await metric('gaps'), await metric('refuses_to_sign')]).toEqual([
      0, 0, 0,
    ]);
    expect(await metric('seals_total')).toBeGreaterThan(0);
    expect((await metric('checkpoint_timestamp_seconds')) ?? 0).toBeGreaterThan(Date.now() / 1_000 - 60);
    await expectSound(service.database);
  });

  it('that has seen a contradiction refuses to sign until it is started again, whatever the log says by then', async () => {
    service = await startService({ AUDIT_SEALER: 'on' }, database);
    const grown = async (check: () => Promise<void>) => {
      await addEvents(writer, 1);
      await eventually(check);
    };
    await eventually(async () => {
      expect(await metric('checkpoint_size')).toBe(2);
    });
    const change = (hash: string) => tamper(`UPDATE audit_leaves SET hash = ${hash} WHERE leaf_index = 0`);
    await change(`sha256('')`);
    await grown(async () => {
      expect(await auditLog()).toMatchObject({
        sealing: 'goes on',
        signing:
          'refused until a restart: The log was changed: it contradicts the newest checkpoint of size 2',
      });
    });
    expect(await metric('refuses_to_sign')).toBe(1);
    await change('(SELECT leaf_hash FROM audit_events WHERE seq = event_seq)');
    const restarted = await startService({ AUDIT_SEALER: 'on' }, database);
    // Between two checkpoints of one process lies more than a turn of the other.
    for (let checkpoint = 0; checkpoint < 2; checkpoint++) {
      const before = await sizes();
      await grown(async () => {
        expect((await sizes()).length).toBeGreaterThan(before.length);
      });
    }
    expect([await metric('refuses_to_sign'), await metric('checkpoint_size')]).toEqual([1, 2]);
    expect(await auditLog()).toMatchObject({ status: 'up', unsealed: 0 });
    await restarted.stop();
    await expectSound(database);
  });

  it('goes on without a sink that it can reach, and says so', async () => {
    const server = await NoteServer.start();
    const url = new URL(`http://127.0.0.1:${server.port}/`);
    await server.stop();
    service = await startService({ AUDIT_SEALER: 'on', AUDIT_CHECKPOINT_SINK: { url } });
    await eventually(async () => {
      expect(await auditLog()).toMatchObject({
        unsealed: 0,
        signing: 'stopped: AUDIT_CHECKPOINT_SINK does not answer (ECONNREFUSED)',
      });
    });
    expect(await metric('refuses_to_sign')).toBe(0);
    expect(await service.database.query('SELECT FROM audit_checkpoints')).toEqual([]);
  });

  it('without the grant for sealing takes orders, and says what is missing', async () => {
    const role = `test_${randomBytes(6).toString('hex')}`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD '${role}' IN ROLE ordo_service`);
    const url = new URL(database.serviceUrl);
    [url.username, url.password] = [role, role];
    service = await startService({ AUDIT_SEALER: 'on', DATABASE_URL: url.href }, database);
    const missing =
      'stopped: The login may not do this: GRANT ordo_sealer to it WITH INHERIT FALSE, SET TRUE';
    await eventually(async () => {
      expect(await auditLog()).toMatchObject({ status: 'up', sealing: missing, signing: missing });
    });
    await service.send('post', '/v1/users').send({ name: 'Ada', email: 'ada@example.com' }).expect(201);
    expect(await metric('refuses_to_sign')).toBe(0);
    await database.query(`GRANT ordo_sealer TO ${role} WITH INHERIT FALSE, SET TRUE`);
    await eventually(async () => {
      expect(await auditLog()).toMatchObject({ unsealed: 0, sealing: 'goes on', signing: 'goes on' });
    });
    await service.stop();
    await database.query(`DROP ROLE ${role}`);
  });
});
