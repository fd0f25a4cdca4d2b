import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { findServerUser } from '../../src/database/embedded/server-user.js';
import { eventually, freePort } from './process.js';

const PGBOUNCER = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'].find(existsSync);
if (PGBOUNCER === undefined) {
  process.stderr.write('SKIPPED: nothing was tried behind PgBouncer, for there is no pgbouncer here\n');
}

/** Whether this machine can run the tests with PgBouncer. */
export const hasPgBouncer = PGBOUNCER !== undefined;

/** A PgBouncer in transaction mode, whose connections to the server are few. */
export interface TestPgBouncer {
  /** The same database and login, through PgBouncer. */
  through(databaseUrl: string): string;
  start(): Promise<void>;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
}

/** Starts PgBouncer in front of the server of these URLs, one for each login, with so many connections for each. It works in `folder`. */
export async function startPgBouncer(
  folder: string,
  urls: readonly string[],
  poolSize: number,
): Promise<TestPgBouncer> {
  const port = await freePort();
  const [server] = urls.map((url) => new URL(url));
  const users = urls.map((text) => {
    const url = new URL(text);
    return `"${url.username}" "${decodeURIComponent(url.password)}"\n`;
  });
  const settings = [
    '[databases]',
    `* = host=127.0.0.1 port=${server?.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = scram-sha-256',
    `auth_file = ${join(folder, 'users.txt')}`,
    'pool_mode = transaction',
    `default_pool_size = ${poolSize}`,
    'server_login_retry = 1',
  ];
  await writeFile(join(folder, 'users.txt'), users.join(''));
  await writeFile(join(folder, 'pgbouncer.ini'), `${settings.join('\n')}\n`);
  const user = await findServerUser(join(folder, 'no data'));
  let child: ChildProcess;
  const through = (databaseUrl: string) => {
    const url = new URL(databaseUrl);
    url.port = String(port);
    return url.href;
  };
  async function start(): Promise<void> {
    child = spawn(PGBOUNCER ?? '', ['-q', join(folder, 'pgbouncer.ini')], {
      stdio: 'ignore',
      uid: user?.uid,
      gid: user?.gid,
    });
    await eventually(async () => {
      const client = new pg.Client({ connectionString: through(urls[0] ?? '') });
      client.on('error', () => undefined);
      await client.connect();
      await client.end();
    });
  }
  await start();
  return {
    through,
    start,
    async kill() {
      const over = once(child, 'exit');
      if (child.kill('SIGKILL')) await over;
    },
  };
}
