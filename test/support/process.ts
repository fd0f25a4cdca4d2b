import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const MAIN = new URL('../../dist/src/main.js', import.meta.url).pathname;

/** The built service as a process of its own, in a folder of its own. */
export interface ServiceProcess {
  readonly process: ChildProcess;
  /** Every line that it wrote so far, to standard output and standard error. */
  readonly lines: readonly string[];
  /** Its address, once it listens; throws when it ends before. */
  listening(): Promise<string>;
  /** Its exit code, once it is over; null after a signal. */
  exited(): Promise<number | null>;
}

/** A folder that the database's user can reach, and what removes it. */
export async function createFolder(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'ordo-process-'));
  await chmod(folder, 0o755);
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/**
 * Starts the built service, or another build of it, with `folder` as its working directory, on free ports unless told
 * otherwise.
 */
export function startProcess(
  folder: string,
  environment: Record<string, string> = {},
  main = MAIN,
): ServiceProcess {
  const child = spawn(process.execPath, [main], {
    cwd: folder,
    env: { PORT: '0', METRICS_PORT: '0', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const { promise: address, resolve, reject } = Promise.withResolvers<string>();
  address.catch(() => undefined);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on('line', (line) => {
      lines.push(line);
      const port = /Ordo listens on http:\/\/localhost:(\d+)/.exec(line)?.[1];
      if (port !== undefined) resolve(`http://127.0.0.1:${port}`);
    });
  }
  const over = once(child, 'close').then(() => child.exitCode);
  void over.then(() => {
    reject(new Error(`The service ended before it listened:\n${lines.join('\n')}`));
  });
  return { process: child, lines, listening: () => address, exited: () => over };
}

/** How somebody signs in. */
interface Credentials {
  readonly email: string;
  readonly password: string;
}

/** The first admin, whom the process has made up a password for, as it has told on standard output. */
export function printedAdmin({ lines }: ServiceProcess): Credentials {
  const told = lines.map((line) => /^Sign in as (\S+) with the password (\S+) /.exec(line));
  const [[, email = '', password = ''] = []] = told.filter((match) => match !== null);
  return { email, password };
}

/** Signs in and returns the access token. */
export async function tokenOf(url: string, credentials: Credentials): Promise<string> {
  const response = await fetch(`${url}/v1/auth/login`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(credentials),
  });
  const body = (await response.json()) as { accessToken?: string };
  if (body.accessToken === undefined) throw new Error(`${response.status}: ${JSON.stringify(body)}`);
  return body.accessToken;
}

/** The process id of the postmaster that runs in the folder. */
export async function postmasterOf(folder: string): Promise<number> {
  const [pid] = (await readFile(join(folder, '.ordo/postgres/postmaster.pid'), 'utf8')).split('\n');
  return Number(pid);
}

/** A port that nobody listened on a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Waits until `condition` answers without throwing and returns its answer; gives up after 20 s. */
export async function eventually<T>(condition: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    try {
      return await condition();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Waits until `condition` holds; throws, naming `what`, when it does not within so many milliseconds. */
export async function until(what: string, milliseconds: number, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + milliseconds;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Not within ${milliseconds / 1_000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
