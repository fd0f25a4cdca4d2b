import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 60_000;
const STOP_MS = 15_000;

/** A contender as a process of its own that listens on `url` and writes its log to a file. */
export interface Server {
  readonly url: string;
  readonly pid: number;
  /** What it has logged since `forgetLog`. */
  log(): string;
  forgetLog(): void;
  stop(): Promise<void>;
}

interface Program {
  readonly name: string;
  /** Arguments of Node. */
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Where it works and logs. */
  readonly folder: string;
}

/** Starts a program on a free port, which it is told as `PORT`. Throws, with its log, when it does not come up. */
export async function startServer({ name, args, environment, folder }: Program): Promise<Server> {
  const port = await freePort();
  const logFile = `${folder}/${name}.log`;
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, args, {
    cwd: folder,
    env: { NODE_ENV: 'production', HOST: '127.0.0.1', PORT: String(port), ...environment },
    stdio: ['ignore', log, log],
    // Out of reach of the terminal's Ctrl-C: it is ours to stop.
    detached: true,
  });
  closeSync(log);
  const stop = () => stopChild(child);
  try {
    await once(child, 'spawn');
    await untilListening(child, port);
  } catch (error) {
    await stop();
    const told = readFileSync(logFile, 'utf8').slice(-2_000);
    throw new Error(`${name} did not start:\n${told}`, { cause: error });
  }
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    log: () => readFileSync(logFile, 'utf8'),
    forgetLog: () => truncateSync(logFile),
    stop,
  };
}

async function untilListening(child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (!(await isListening(port))) {
    if (hasEnded(child)) throw new Error('It ended');
    if (Date.now() > deadline) throw new Error(`It does not listen after ${START_MS / 1_000} s`);
    await sleep(10);
  }
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const impatient = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(impatient);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await once(probe.listen(0, '127.0.0.1'), 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
