import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { open, readFile, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StartupError } from '../../config/startup-error.js';
import type { Cluster } from './cluster.js';
import { errorCode, existing } from '../../config/private-files.js';
import { programOptions, reasonIn, runProgram } from './run-program.js';
import { explainUnreachable } from './server-user.js';

/** The server process of a data folder, as it describes itself in postmaster.pid. */
interface Postmaster {
  readonly port: number;
  readonly ready: boolean;
}

const POLL_MS = 10;
/** How long a killed server's children may keep its memory, or a stranger the port that we need again. */
const OBSTACLE_MS = 15_000;
/** Crash recovery replays at most about max_wal_size (1 GB). */
const READY_MS = 120_000;
const LOG_BYTES = 10_000_000;

/**
 * Finds the server that runs on the data, or starts one with these settings: on `port` if given, else on a free one.
 * Returns its port once it accepts connections, and whether this call started it. Throws StartupError with the
 * server's own reason if it does not come up.
 */
export async function ensurePostmaster(
  cluster: Cluster,
  settings: readonly string[],
  port?: number,
  signal?: AbortSignal,
): Promise<{ port: number; started: boolean }> {
  const startedAt = performance.now();
  const wait = signal ? { signal } : {};
  const elapsed = () => performance.now() - startedAt;
  let child: ChildProcess | undefined;
  let logStart = 0;
  try {
    while (elapsed() < READY_MS) {
      const running = await findPostmaster(cluster.dataFolder);
      if (running?.ready) return { port: running.port, started: child !== undefined };
      if (child && hasExited(child)) {
        await judgeFailure(cluster, logStart, elapsed() < OBSTACLE_MS);
        child = undefined;
        await sleep(10 * POLL_MS, undefined, wait);
      } else if (!child && !running) {
        logStart = await prepareLog(cluster.logFile);
        child = await launch(cluster, [...settings, `port=${port ?? (await freePort())}`]);
      } else {
        await sleep(POLL_MS, undefined, wait);
      }
    }
  } catch (error) {
    if (signal?.aborted) await interrupt(child);
    throw error;
  }
  throw new StartupError(`PostgreSQL is not ready after ${READY_MS / 1000} s: see ${cluster.logFile}.`);
}

/**
 * Stops the server on this port, if it still runs: open transactions roll back, all that was committed is kept.
 * A server on another port is left alone: another Ordo must have started it since. Throws if it takes over a minute.
 */
export async function stopPostmaster(cluster: Cluster, port: number): Promise<void> {
  if ((await findPostmaster(cluster.dataFolder))?.port !== port) return;
  const args = ['stop', '--mode=fast', '--timeout=60', `--pgdata=${cluster.dataFolder}`];
  const { code, output } = await runProgram(cluster.binaries.pg_ctl, args, cluster.user);
  if (code === 0 || !(await findPostmaster(cluster.dataFolder))) return;
  throw new Error(`PostgreSQL does not stop: ${reasonIn(output)}`);
}

/** Reads postmaster.pid; removes it when it is certainly a leftover, but one that PostgreSQL would not dare to remove. */
async function findPostmaster(dataFolder: string): Promise<Postmaster | undefined> {
  const pidFile = join(dataFolder, 'postmaster.pid');
  const text = await existing(readFile(pidFile, 'utf8'));
  if (text === undefined) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  const pid = Number(lines[0]);
  if (pid !== 0 && !isAlive(pid)) return undefined;
  if (pid !== 0 && (await worksIn(pid, dataFolder))) {
    return { port: Number(lines[3]), ready: lines[7] === 'ready' };
  }
  // An empty file is from a power cut, or just being written. A living stranger's number was given anew after a reboot,
  // as happens all the time in containers.
  if (pid !== 0 || (await isOld(pidFile))) await rm(pidFile, { force: true });
  return undefined;
}

async function isOld(path: string): Promise<boolean> {
  const file = await existing(stat(path));
  return file !== undefined && Date.now() - file.mtimeMs > OBSTACLE_MS / 2;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // It is gone, or (EPERM) belongs to another user and so is no server that we could have started.
    return false;
  }
}

/** A server belongs to the owner of its data and works in that folder. Where the system does not tell: granted. */
async function worksIn(pid: number, dataFolder: string): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  try {
    if ((await stat(`/proc/${pid}`)).uid !== (await stat(dataFolder)).uid) return false;
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(dataFolder));
  } catch (error) {
    return errorCode(error) !== 'ENOENT';
  }
}

/** Sets a log aside that has grown long. Returns where in the file the next server's lines will begin. */
async function prepareLog(logFile: string): Promise<number> {
  const size = (await existing(stat(logFile)))?.size ?? 0;
  if (size < LOG_BYTES) return size;
  await rename(logFile, `${logFile}.1`);
  return 0;
}

async function launch(cluster: Cluster, settings: readonly string[]): Promise<ChildProcess> {
  const log = await open(cluster.logFile, 'a', 0o600);
  try {
    const args = ['-D', cluster.dataFolder, ...settings.flatMap((setting) => ['-c', setting])];
    const child = spawn(cluster.binaries.postgres, args, {
      ...programOptions(cluster.user),
      stdio: ['ignore', log.fd, log.fd],
    });
    await once(child, 'spawn');
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Ends a server that may be too young to have written its postmaster.pid. */
async function interrupt(child: ChildProcess | undefined): Promise<void> {
  if (!child?.kill('SIGINT')) return;
  child.ref();
  await once(child, 'exit');
}

/** Returns if the start is worth another try, else throws the reason that the server gave in its log. */
async function judgeFailure(cluster: Cluster, logStart: number, mayPass: boolean): Promise<void> {
  const log = (await readFile(cluster.logFile)).subarray(logStart).toString();
  const obstacle =
    /could not create any TCP\/IP sockets|shared memory block .* in use|lock file ".*" (already exists|is empty)/;
  if (mayPass && obstacle.test(log)) return;
  throw (
    (await explainUnreachable(join(cluster.dataFolder, 'PG_VERSION'), cluster.user)) ??
    new StartupError(`PostgreSQL does not start: ${reasonIn(log)} (more in ${cluster.logFile})`)
  );
}

/**
 * A port that is free right now. It lies below those that systems hand to outgoing connections, so that it is likely
 * to be free still when the server must come back on it.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const probe = createServer();
    try {
      const port = randomInt(15_000, 32_000);
      await once(probe.listen(port, '127.0.0.1'), 'listening');
      return port;
    } catch (error) {
      if (errorCode(error) !== 'EADDRINUSE' && errorCode(error) !== 'EACCES') throw error;
    } finally {
      probe.close();
    }
  }
}
