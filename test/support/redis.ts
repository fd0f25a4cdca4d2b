import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { eventually } from './process.js';

const REDIS = ['/usr/bin/redis-server', '/usr/local/bin/redis-server', '/opt/homebrew/bin/redis-server'].find(
  existsSync,
);
if (REDIS === undefined) {
  process.stderr.write('SKIPPED: nothing was counted in Redis, for there is no redis-server here\n');
}

/** Whether this machine can run the tests with Redis. */
export const hasRedis = REDIS !== undefined;

/** A Redis server of its own on a free port, which keeps nothing. */
export interface TestRedis {
  readonly url: string;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
  /** Starts it again, empty, on the same port. */
  start(): Promise<void>;
  /** Keeps its connections open, but answers nothing until it is to `resume`. */
  stall(): void;
  resume(): void;
}

/** Files that redis-server is started with in place of what the tests need. */
interface RedisFiles {
  readonly configuration: string;
  readonly users: string;
}

/** Starts redis-server and waits until it answers; with the given files but for its address. */
export async function startRedis(files?: RedisFiles): Promise<TestRedis> {
  const port = await freePort();
  let server: ChildProcess;
  async function start(): Promise<void> {
    const settings =
      files === undefined
        ? ['--save', '', '--appendonly', 'no', '--dir', tmpdir()]
        : ['--aclfile', files.users];
    const address = ['--port', `${port}`, '--bind', '127.0.0.1'];
    server = spawn(
      REDIS ?? '',
      [...(files === undefined ? [] : [files.configuration]), ...address, ...settings],
      { stdio: 'ignore' },
    );
    await eventually(() => ping(port));
  }
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    async kill() {
      if (server.exitCode !== null || server.signalCode !== null) return;
      const over = once(server, 'exit');
      server.kill('SIGKILL');
      await over;
    },
    stall: () => void server.kill('SIGSTOP'),
    resume: () => void server.kill('SIGCONT'),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function ping(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  try {
    socket.write('PING\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    // Strangers are told no more than that.
    if (!/^(\+PONG|-NOAUTH)/.test(answer.toString())) throw new Error('Redis is not ready');
  } finally {
    socket.destroy();
  }
}
