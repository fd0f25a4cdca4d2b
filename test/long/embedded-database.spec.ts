import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { StartupError } from '../../src/config/startup-error.js';
import {
  type EmbeddedDatabase,
  type EmbeddedDatabaseOptions,
  grantServiceRole,
  startEmbeddedDatabase,
} from '../../src/database/embedded/embedded-database.js';

const FAST: EmbeddedDatabaseOptions = { durable: false, maxConnections: 300 };
const asRoot = process.getuid?.() === 0;

const folders: string[] = [];
const started: (() => Promise<unknown>)[] = [];

/** A folder that does not exist yet, below a fresh one of this mode. */
async function temporaryFolder(mode = 0o755): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'ordo-embedded-'));
  await chmod(parent, mode);
  folders.push(parent);
  return join(parent, '.ordo');
}

async function start(folder: string, options = FAST): Promise<EmbeddedDatabase> {
  const database = await startEmbeddedDatabase(folder, options);
  started.push(() => database.stop());
  return database;
}

/** The one line that the operator reads when Ordo does not start. */
async function refusal(folder: string): Promise<string> {
  const error: unknown = await start(folder).catch((reason: unknown) => reason);
  if (!(error instanceof StartupError)) throw new Error('it started, or failed otherwise', { cause: error });
  expect(error.message).not.toContain('\n');
  return error.message;
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Awaits an attempt that succeeds; gives up with the test. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const test = expect.getState().currentTestName;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (expect.getState().currentTestName !== test) throw error;
      await sleep(20);
    }
  }
}

async function postmasterPid(folder: string): Promise<number> {
  return Number((await readFile(join(folder, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

/** Another Ordo: a process of its own that runs the same sources, and says on which URL its server listens. */
async function startElsewhere(folder: string): Promise<{ process: ChildProcess; superuserUrl: string }> {
  const typescript = `import { registerHooks } from 'node:module';
    registerHooks({
      resolve: (name, context, next) =>
        next(name.startsWith('.') && context.parentURL?.endsWith('.ts') ? name.replace(/\\.js$/, '.ts') : name, context),
    });`;
  const module = pathToFileURL(
    join(import.meta.dirname, '../../src/database/embedded/embedded-database.ts'),
  ).href;
  const program = `const { startEmbeddedDatabase } = await import('${module}');
    const database = await startEmbeddedDatabase(${JSON.stringify(folder)}, ${JSON.stringify(FAST)});
    console.log(database.superuserUrl);`;
  const child = spawn(
    process.execPath,
    [
      '--import',
      `data:text/javascript,${encodeURIComponent(typescript)}`,
      '--input-type=module',
      '-e',
      program,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  started.push(async () => {
    if (child.kill('SIGKILL')) await once(child, 'exit');
  });
  const [superuserUrl] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { process: child, superuserUrl };
}

afterEach(async () => {
  for (const end of started.splice(0).reverse()) await end();
});

afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

// Two first starts at once have been seen to take more than 30 s, once, for a reason not found yet: tried again, and
// told, rather than left out.
jest.retryTimes(1, { logErrorsBeforeRetry: true });

describe('the embedded database', () => {
  /** Data that a first start made: initialising takes a second, starting on it a fraction. */
  let folder: string;

  beforeAll(async () => {
    folder = await temporaryFolder();
    await (await start(folder)).stop();
  });
  it('finds its data again at the next start', async () => {
    const fresh = await temporaryFolder();
    const first = await start(fresh, {});
    await query(first.ownerUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const stopped = first.stop();
    expect(first.stop()).toBe(stopped);
    await stopped;
    await mkdir(join(fresh, 'postgres.new-interrupted'));

    const second = await start(fresh, {});
    expect(await query(second.ownerUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    expect(await readdir(fresh)).not.toContain('postgres.new-interrupted');
    expect(
      await query(
        second.superuserUrl,
        `SELECT datlocprovider, datlocale, pg_encoding_to_char(encoding) AS encoding, current_setting('timezone') AS timezone,
                current_setting('fsync') AS fsync, inet_server_addr() AS address
           FROM pg_database WHERE datname = current_database()`,
      ),
    ).toEqual([
      {
        datlocprovider: 'b',
        datlocale: 'C.UTF-8',
        encoding: 'UTF8',
        timezone: 'UTC',
        fsync: 'on',
        address: '127.0.0.1',
      },
    ]);
  });

  it('tells its URL in a private file while it runs', async () => {
    const database = await start(folder);
    const file = join(folder, 'database-url');
    expect((await readFile(file, 'utf8')).trim()).toBe(database.superuserUrl);
    for (const name of ['database-url', 'database-passwords.json', 'postgres.log']) {
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    }
    await database.stop();
    await expect(stat(file)).rejects.toThrow('ENOENT');
    await expect(query(database.superuserUrl, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
  });

  it('gives its roles no more than they need', async () => {
    const { ownerUrl, serviceUrl, superuserUrl } = await start(folder);
    expect(
      await query(
        superuserUrl,
        `SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
           FROM pg_roles WHERE rolname IN ('ordo_owner', 'ordo_app') ORDER BY rolname`,
      ),
    ).toEqual([
      {
        rolname: 'ordo_app',
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
      },
      {
        rolname: 'ordo_owner',
        rolsuper: false,
        rolcreaterole: true,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
      },
    ]);
    await query(ownerUrl, 'CREATE TABLE secrets (id int)');
    for (const sql of ['CREATE TABLE t ()', 'CREATE TEMP TABLE t ()', 'CREATE ROLE r', 'TABLE secrets']) {
      await expect(query(serviceUrl, sql)).rejects.toMatchObject({ code: '42501' });
    }
    await expect(query(serviceUrl.replace(/ordo$/, 'postgres'), 'SELECT 1')).rejects.toMatchObject({
      code: '42501',
    });
    await expect(query(serviceUrl.replace(/:[^:@]*@/, ':guess@'), 'SELECT 1')).rejects.toMatchObject({
      code: '28P01',
    });
    expect(
      await query(
        serviceUrl,
        `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
                current_setting('idle_in_transaction_session_timeout') AS idle`,
      ),
    ).toEqual([{ statement: '10s', lock: '5s', idle: '15s' }]);
  });

  it('lets the service do what the migrations granted to ordo_service', async () => {
    const database = await start(folder);
    await query(
      database.ownerUrl,
      'CREATE ROLE ordo_service NOLOGIN; CREATE ROLE ordo_sealer NOLOGIN; CREATE TABLE served (id int); GRANT SELECT ON served TO ordo_service',
    );
    await grantServiceRole(database);
    await grantServiceRole(database);
    expect(await query(database.serviceUrl, 'TABLE served')).toEqual([]);
    await expect(query(database.serviceUrl, 'INSERT INTO served VALUES (1)')).rejects.toMatchObject({
      code: '42501',
    });
  });

  it('adopts the server of an Ordo that was killed, and refuses beside one that lives', async () => {
    const other = await startElsewhere(folder);
    await query(other.superuserUrl, 'CREATE TABLE adopted AS SELECT 42 AS answer');
    const pid = await postmasterPid(folder);
    expect(await refusal(folder)).toBe(
      `Another Ordo (process ${other.process.pid}) is already running on ${folder}: stop it, or set DATABASE_URL for this one.`,
    );
    expect(await query(other.superuserUrl, 'TABLE adopted')).toEqual([{ answer: 42 }]);

    const killed = once(other.process, 'exit');
    other.process.kill('SIGKILL');
    await killed;
    const database = await start(folder);
    expect(database.superuserUrl).toBe(other.superuserUrl);
    expect(await postmasterPid(folder)).toBe(pid);
    expect(await query(database.superuserUrl, 'TABLE adopted')).toEqual([{ answer: 42 }]);
  });

  it('brings a killed server back on the same port with all that was committed', async () => {
    const notices: string[] = [];
    const database = await start(folder, { log: (level, message) => notices.push(`${level}: ${message}`) });
    await query(database.ownerUrl, 'CREATE TABLE recovered AS SELECT 42 AS answer');
    for (let round = 1; round <= 2; round++) {
      const pid = await postmasterPid(folder);
      process.kill(pid, 'SIGKILL');
      expect(
        await eventually(async () => {
          expect(await postmasterPid(folder)).not.toBe(pid);
          return query(database.serviceUrl, 'SELECT 1 AS one');
        }),
      ).toEqual([{ one: 1 }]);
      expect(await query(database.ownerUrl, 'TABLE recovered')).toEqual([{ answer: 42 }]);
      await eventually(async () => expect(notices).toHaveLength(2 * round));
    }
    expect(notices[0]).toMatch(/^warn: Lost the connection/);
    expect(notices[1]).toMatch(/^info: .* is back on port \d+$/);
    expect(await refusal(folder)).toMatch(/^Another Ordo /);
  });

  it('stops while it is bringing a killed server back', async () => {
    const lost = Promise.withResolvers<void>();
    const database = await start(folder, { ...FAST, log: () => lost.resolve() });
    process.kill(await postmasterPid(folder), 'SIGKILL');
    await lost.promise;
    await database.stop();
    await expect(query(database.superuserUrl, 'SELECT 1')).rejects.toThrow('ECONNREFUSED');
    await start(folder);
  });

  it("is not misled by a stranger's process number in postmaster.pid", async () => {
    await writeFile(
      join(folder, 'postgres', 'postmaster.pid'),
      `${process.pid}\n${folder}/postgres\n1\n1\n\n127.0.0.1\n`,
    );
    // Elsewhere than on Linux nothing tells whose number it is.
    if (process.platform === 'linux') await start(folder);
  });

  it('lets one of two first starts win', async () => {
    const fresh = await temporaryFolder();
    const starts = await Promise.allSettled([start(fresh), start(fresh)]);
    expect(starts.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const loser = starts.find((outcome) => outcome.status === 'rejected');
    expect(String(loser?.reason)).toMatch(/^StartupError: Another Ordo /);
  });

  it('refuses the data of another PostgreSQL version', async () => {
    const version = join(folder, 'postgres', 'PG_VERSION');
    await writeFile(version, '17\n');
    expect(await refusal(folder)).toMatch(/was made by PostgreSQL 17, but this is PostgreSQL 18: dump it /);
    await writeFile(version, '18\n');
  });

  it('refuses passwords that are not those of its data, and does not show them', async () => {
    const passwords = join(folder, 'database-passwords.json');
    const kept = await readFile(passwords);
    await writeFile(passwords, JSON.stringify({ postgres: 'abc', ordo_owner: 'abc', ordo_app: 'abc' }));
    const message = await refusal(folder);
    expect(message).toMatch(/^The passwords in database-passwords.json are not those of /);
    expect(message).not.toContain('abc');
    expect(await readdir(join(folder, 'postgres'))).not.toContain('postmaster.pid');
    await writeFile(passwords, '{');
    expect(await refusal(folder)).toMatch(/database-passwords.json is damaged/);
    await writeFile(passwords, kept);
  });

  it('refuses a folder that it cannot write', async () => {
    const fresh = await temporaryFolder();
    await writeFile(fresh, 'a file');
    expect(await refusal(join(fresh, 'below'))).toMatch(/^Ordo cannot keep its data in .*below \(ENOTDIR: /);
  });

  it('refuses a data folder with something else in it', async () => {
    const fresh = await temporaryFolder();
    await mkdir(join(fresh, 'postgres'), { recursive: true });
    await writeFile(join(fresh, 'postgres', 'holiday.jpg'), '');
    expect(await refusal(fresh)).toMatch(asRoot ? /belongs to root/ : /is in the way/);
  });

  (asRoot ? it : it.skip)("refuses a folder that the database's user cannot reach", async () => {
    const fresh = await temporaryFolder(0o700);
    const parent = join(fresh, '..');
    expect(await refusal(fresh)).toMatch(
      new RegExp(`PostgreSQL runs as \\w+, who cannot enter ${parent}: run "chmod o\\+x ${parent}", or move`),
    );
    await chmod(parent, 0o755);
    await (await start(fresh)).stop();
    await chmod(parent, 0o700);
    expect(await refusal(fresh)).toContain(`who cannot enter ${parent}: run`);
  });
});
