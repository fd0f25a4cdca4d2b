import pg from 'pg';
import { StartupError } from '../../config/startup-error.js';
import type { Cluster } from './cluster.js';
import { errorCode } from '../../config/private-files.js';

/** Any number will do, as long as it never changes. */
const LOCK_KEY = 7_010_468;
/** The connection of a process that was just killed is gone well within this time. */
const WAIT_MS = 1_000;
/** admin_shutdown, crash_shutdown, cannot_connect_now */
const STOPPING = new Set(['57P01', '57P02', '57P03']);

/** Another process keeps the server, which is therefore not ours to stop. */
export class AlreadyRunningError extends StartupError {}

/**
 * Connects as the superuser and takes the lock that makes this process the only Ordo on the data. The lock is the
 * connection: it goes when the process goes. Throws AlreadyRunningError when another Ordo holds it,
 * StartupError when the password is wrong.
 */
export async function lockCluster(cluster: Cluster, port: number): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password: cluster.passwords.postgres,
    database: 'postgres',
    application_name: `Ordo (process ${process.pid})`,
    connectionTimeoutMillis: 10_000,
    // Statements with passwords pass through here, and PostgreSQL logs a statement that fails.
    options: `-c lock_timeout=${WAIT_MS} -c log_min_error_statement=panic`,
  });
  // Without a listener the loss of the connection would end the process; whoever needs to know listens for `end`.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT pg_advisory_lock($1)', [LOCK_KEY]);
    return client;
  } catch (error) {
    const refusal = await refusalFor(error, client, cluster);
    await client.end();
    throw refusal;
  }
}

/** Whether the server refused because it is stopping or recovering: it is worth waiting for. */
export function isServerStopping(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code !== undefined && STOPPING.has(error.code);
}

async function refusalFor(
  error: unknown,
  client: pg.Client,
  { folder, dataFolder }: Cluster,
): Promise<unknown> {
  if (errorCode(error) === 'ECONNREFUSED') {
    return new StartupError(
      `${dataFolder}/postmaster.pid names a server that does not answer: if it is no PostgreSQL (any more), remove that file.`,
    );
  }
  const code = error instanceof pg.DatabaseError ? error.code : undefined;
  if (code === '55P03') {
    const { rows } = await client.query<{ holder: string }>(
      `SELECT application_name AS holder FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND granted`,
      [LOCK_KEY],
    );
    return new AlreadyRunningError(
      `Another ${rows[0]?.holder ?? 'Ordo'} is already running on ${folder}: stop it, or set DATABASE_URL for this one.`,
    );
  }
  if (code === '28P01') {
    return new StartupError(
      `The passwords in database-passwords.json are not those of the data in ${folder}: restore that file, or move the data away.`,
    );
  }
  return error;
}
