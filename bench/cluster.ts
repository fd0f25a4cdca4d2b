import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { grantServiceRole, startEmbeddedDatabase } from '../src/database/embedded/embedded-database.js';
import { migrate } from '../src/database/migrate.js';
import { loadData } from './data.js';
import type { Data } from './workloads.js';

/** The settings that make a commit durable, as a session of the contenders sees them. */
const DURABLE = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' };

/** One PostgreSQL for the whole run, in a temporary folder. */
export interface Cluster {
  readonly folder: string;
  readonly version: string;
  readonly settings: Readonly<Record<string, string>>;
  /** The process id of the postmaster. */
  readonly pid: number;
  readonly data: Data;
  /** A database of its own with the schema and the data, as the service's login and as the superuser. */
  createDatabase(name: string): Promise<Database>;
  /** Writes out what is dirty, so that nobody measured next pays for what somebody else has written. */
  checkpoint(): Promise<void>;
  /** Stops the server and removes the folder. */
  stop(): Promise<void>;
}

export interface Database {
  readonly url: string;
  readonly superuserUrl: string;
}

/** Starts PostgreSQL with the service's schema and so many orders. Throws when it is not durable. */
export async function startCluster(orders: number): Promise<Cluster> {
  const folder = await mkdtemp(join(tmpdir(), 'ordo-bench-'));
  const stopped: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (const step of stopped.splice(0).reverse()) await step();
  };
  try {
    // As root the server runs as another user, who has to get in.
    await chmod(folder, 0o755);
    const server = await startEmbeddedDatabase(folder);
    stopped.push(() => server.stop());
    await migrate(server.ownerUrl);
    await grantServiceRole(server);
    const { version, ...settings } = await readSettings(server.serviceUrl);
    const data = await loadData(server.superuserUrl, orders);
    // A pool of one, which has statements wait for each other.
    const superuser = new pg.Pool({ connectionString: onDatabase(server.superuserUrl, 'postgres'), max: 1 });
    superuser.on('error', () => undefined);
    stopped.push(() => superuser.end());
    return {
      folder,
      version,
      settings,
      pid: Number((await readFile(join(folder, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]),
      data,
      async createDatabase(contender) {
        const name = `bench-${contender}`;
        await superuser.query(`CREATE DATABASE "${name}" TEMPLATE ordo OWNER ordo_owner`);
        return {
          url: onDatabase(server.serviceUrl, name),
          superuserUrl: onDatabase(server.superuserUrl, name),
        };
      },
      async checkpoint() {
        await superuser.query('CHECKPOINT');
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function readSettings(url: string): Promise<{ version: string } & Record<string, string>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const names = [...Object.keys(DURABLE), 'wal_sync_method', 'shared_buffers', 'max_connections'];
    const { rows } = await client.query<{ name: string; value: string }>(
      `SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name`,
      [['server_version', ...names]],
    );
    const { server_version: version = '', ...settings } = Object.fromEntries(
      rows.map(({ name, value }) => [name, value]),
    );
    for (const [name, wanted] of Object.entries(DURABLE)) {
      if (settings[name] !== wanted) throw new Error(`PostgreSQL runs with ${name} = ${settings[name]}`);
    }
    return { version, ...settings };
  } finally {
    await client.end();
  }
}

function onDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
