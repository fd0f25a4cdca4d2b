import { appendFile, cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { bootstrap } from '../../src/database/embedded/bootstrap.js';
import { type Cluster, prepareCluster } from '../../src/database/embedded/cluster.js';
import { grantServiceRole } from '../../src/database/embedded/embedded-database.js';
import { runProgram } from '../../src/database/embedded/run-program.js';
import { migrate } from '../../src/database/migrate.js';
import { freePort } from './process.js';

/** A PostgreSQL of its own, durable, with the migrated database `ordo`; nobody brings it back but the test. */
export interface TestPostgres {
  readonly port: number;
  readonly superuserUrl: string;
  readonly ownerUrl: string;
  readonly serviceUrl: string;
  readonly dataFolder: string;
  /** Runs one statement as superuser. */
  query<Row extends pg.QueryResultRow>(sql: string, parameters?: unknown[]): Promise<Row[]>;
  start(): Promise<void>;
  /** `fast` ends all connections first, `immediate` is a crash. */
  stop(mode: 'fast' | 'immediate'): Promise<void>;
  /** A copy of it below `folder` that follows it, and can be promoted. */
  startStandby(folder: string): Promise<TestPostgres>;
  /** Makes a standby the primary. */
  promote(): Promise<void>;
}

/** Starts a PostgreSQL whose data lie below `folder`, with further settings. */
export async function startPostgres(
  folder: string,
  settings: Record<string, string> = {},
): Promise<TestPostgres> {
  const cluster = await prepareCluster(folder, true);
  const server = serverOf(cluster, await freePort());
  await configure(cluster.dataFolder, {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    log_error_verbosity: 'terse',
    port: String(server.port),
    ...settings,
  });
  await server.start();
  const superuser = new pg.Client({ connectionString: server.superuserUrl.replace(/ordo$/, 'postgres') });
  await superuser.connect();
  await bootstrap(superuser, cluster.passwords);
  await superuser.end();
  await migrate(server.ownerUrl);
  await grantServiceRole(server);
  return server;
}

/** Later lines win. */
async function configure(dataFolder: string, settings: Record<string, string>): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  await appendFile(join(dataFolder, 'postgresql.conf'), lines.join(''));
}

function serverOf(cluster: Cluster, port: number): TestPostgres {
  const { dataFolder, passwords, binaries, user } = cluster;
  const url = (role: keyof typeof passwords) =>
    `postgresql://${role}:${passwords[role]}@127.0.0.1:${port}/ordo`;
  const control = async (...args: string[]) => {
    const log = `--log=${join(dataFolder, 'server.log')}`;
    const all = [...args, '--wait', '--timeout=60', log, `--pgdata=${dataFolder}`];
    const { code, output } = await runProgram(binaries.pg_ctl, all, user);
    if (code === 0) return;
    const told = await readFile(join(dataFolder, 'server.log'), 'utf8');
    throw new Error(`pg_ctl ${args.join(' ')}: ${output}${told.slice(-1_000)}`);
  };
  const query = async <Row extends pg.QueryResultRow>(sql: string, parameters: unknown[] = []) => {
    const client = new pg.Client({ connectionString: url('postgres') });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(sql, parameters)).rows;
    } finally {
      await client.end();
    }
  };
  return {
    port,
    superuserUrl: url('postgres'),
    ownerUrl: url('ordo_owner'),
    serviceUrl: url('ordo_app'),
    dataFolder,
    query,
    start: () => control('start'),
    stop: (mode) => control('stop', `--mode=${mode}`),
    startStandby: (folder) => startStandby(cluster, port, folder),
    promote: () => control('promote'),
  };
}

/** A base backup by hand: the files are copied while the server writes, and its log makes one state of them. */
async function startStandby(primary: Cluster, primaryPort: number, folder: string): Promise<TestPostgres> {
  const cluster = { ...primary, folder, dataFolder: join(folder, 'postgres') };
  const server = serverOf(cluster, await freePort());
  const client = new pg.Client({ connectionString: serverOf(primary, primaryPort).superuserUrl });
  await client.connect();
  await client.query(`SELECT pg_backup_start('standby', true)`);
  await copy(primary.dataFolder, cluster.dataFolder);
  const { rows } = await client.query<{ labelfile: string }>(`SELECT labelfile FROM pg_backup_stop(false)`);
  await client.end();
  const write = (name: string, content: string) => writeFile(join(cluster.dataFolder, name), content);
  await write('backup_label', rows[0]?.labelfile ?? '');
  await write('standby.signal', '');
  await configure(cluster.dataFolder, {
    port: String(server.port),
    primary_conninfo: `host=127.0.0.1 port=${primaryPort} user=postgres password=${primary.passwords.postgres} application_name=standby`,
  });
  await own(cluster);
  await server.start();
  return server;
}

async function copy(source: string, target: string): Promise<void> {
  const skipped = /\/(postmaster\.(pid|opts)|server\.log)$/;
  await cp(source, target, { recursive: true, filter: (path) => !skipped.test(path) });
}

/** Gives the data to the user that the server runs as. */
async function own({ dataFolder, user }: Cluster): Promise<void> {
  const commands = [['chmod', '-R', 'u=rwX,go=']];
  if (user !== undefined) commands.push(['chown', '-R', `${user.uid}:${user.gid}`]);
  for (const [program = '', ...args] of commands) {
    const { code, output } = await runProgram(program, [...args, dataFolder]);
    if (code !== 0) throw new Error(output);
  }
}
