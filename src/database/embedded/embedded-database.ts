import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { StartupError } from '../../config/startup-error.js';
import { bootstrap, grantService } from './bootstrap.js';
import { type Cluster, prepareCluster, removeDrafts } from './cluster.js';
import { isSystemError, writePrivateFile } from '../../config/private-files.js';
import { AlreadyRunningError, isServerStopping, lockCluster } from './folder-lock.js';
import { keepRunning, type Log } from './keep-running.js';
import type { LoginRole } from './passwords.js';
import { ensurePostmaster, stopPostmaster } from './postmaster.js';

/** A PostgreSQL that this process started or adopted, and keeps running until `stop`. */
export interface EmbeddedDatabase {
  /** May do everything; also kept in the file `database-url` while the server runs. */
  readonly superuserUrl: string;
  /** Owns the database `ordo` and may create roles: runs the migrations. */
  readonly ownerUrl: string;
  /** May do what `grantServiceRole` grants, within time limits: the running service. */
  readonly serviceUrl: string;
  /** Ends every connection and the server. May be called at any time, also twice. Rejects if it takes over a minute. */
  stop(): Promise<void>;
}

export interface EmbeddedDatabaseOptions {
  /** False, for tests: faster, and a crash of the machine may cost all data. */
  readonly durable?: boolean;
  readonly maxConnections?: number;
  /** Told when the server went away and when it is back. */
  readonly log?: Log;
}

/**
 * Starts PostgreSQL with its data in `folder` (absolute; made if missing), adopting a server that still runs there.
 * Throws StartupError when that is impossible, or when another process keeps a server there already.
 */
export async function startEmbeddedDatabase(
  folder: string,
  options: EmbeddedDatabaseOptions = {},
): Promise<EmbeddedDatabase> {
  const { durable = true, maxConnections = 100, log = () => undefined } = options;
  try {
    const cluster = await prepareCluster(folder, durable);
    return await open(cluster, serverSettings(durable, maxConnections), log);
  } catch (error) {
    // Neither a system call's message nor the server's holds anything secret.
    if (isSystemError(error) || error instanceof pg.DatabaseError) {
      throw new StartupError(`Ordo cannot keep its data in ${folder} (${error.message}).`);
    }
    throw error;
  }
}

/** Grants the role `ordo_service`, which the migrations create, to the running service. To be called after them. */
export async function grantServiceRole(database: Pick<EmbeddedDatabase, 'ownerUrl'>): Promise<void> {
  const owner = new pg.Client({ connectionString: database.ownerUrl });
  await owner.connect();
  try {
    await grantService(owner);
  } finally {
    await owner.end();
  }
}

function serverSettings(durable: boolean, maxConnections: number): string[] {
  return [
    'listen_addresses=127.0.0.1',
    // Paths of Unix sockets may have no more than 107 bytes, and checkouts can lie deep.
    'unix_socket_directories=',
    'timezone=UTC',
    'log_timezone=UTC',
    // Details of an error hold values, such as the e-mail address that is taken.
    'log_error_verbosity=terse',
    `max_connections=${maxConnections}`,
    ...(durable
      ? []
      : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_prepared_transactions=10']),
  ];
}

async function open(cluster: Cluster, settings: readonly string[], log: Log): Promise<EmbeddedDatabase> {
  const { port, lock } = await hold(cluster, settings);
  const urlFile = join(cluster.folder, 'database-url');
  const stopServer = keepRunning(cluster, settings, port, lock, log);
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= rm(urlFile, { force: true }).then(stopServer));
  const url = (role: LoginRole) => `postgresql://${role}:${cluster.passwords[role]}@127.0.0.1:${port}/ordo`;
  try {
    await bootstrap(lock, cluster.passwords);
    await removeDrafts(cluster.folder);
    await writePrivateFile(urlFile, `${url('postgres')}\n`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { superuserUrl: url('postgres'), ownerUrl: url('ordo_owner'), serviceUrl: url('ordo_app'), stop };
}

/** Starts again when the server found is the one that the previous Ordo was just stopping. */
async function hold(
  cluster: Cluster,
  settings: readonly string[],
): Promise<{ port: number; lock: pg.Client }> {
  for (;;) {
    const { port, started } = await ensurePostmaster(cluster, settings);
    try {
      return { port, lock: await lockCluster(cluster, port) };
    } catch (error) {
      if (isServerStopping(error)) {
        await sleep(50);
        continue;
      }
      if (started && !(error instanceof AlreadyRunningError)) await stopPostmaster(cluster, port);
      throw error;
    }
  }
}
