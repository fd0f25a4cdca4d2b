import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from './cluster.js';
import { argumentsOf } from './contenders.js';
import { median } from './median.js';
import { startServer } from './process.js';
import { usageOf } from './usage.js';

const POLL_MS = 10;
const PATIENCE_MS = 60_000;

/** How long the service takes to start, from the making of its process until `/health/ready` answers 200. */
export interface Ready {
  /** Medians of the starts: milliseconds, and CPU seconds of the process where the system tells. */
  readonly milliseconds: number;
  readonly cpu?: number;
  /** The quickest start and the slowest. */
  readonly spread: readonly [number, number];
  readonly starts: number;
}

/**
 * Starts the service so many times, one after the other, on a database that is migrated, has the data and runs. A start
 * before them does not count: it makes the first admin, and the compiled code that is kept beside the build.
 */
export async function measureReady(
  starts: number,
  cluster: Cluster,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Ready> {
  const { url } = await cluster.createDatabase('ready');
  const all: { readonly milliseconds: number; readonly cpu: number | undefined }[] = [];
  for (let start = 0; start <= starts; start++) {
    signal.throwIfAborted();
    const began = performance.now();
    const server = await startServer({
      name: 'ready',
      args: argumentsOf('ordo'),
      environment: { ...environment, DATABASE_URL: url },
      folder: cluster.folder,
    });
    try {
      await untilReady(server.url);
      all.push({ milliseconds: performance.now() - began, cpu: usageOf(server.pid)?.cpu });
    } finally {
      await server.stop();
    }
  }
  const counted = all.slice(1);
  const times = counted.map(({ milliseconds }) => milliseconds);
  const cpu = counted.map((each) => each.cpu).filter((each) => each !== undefined);
  return {
    milliseconds: median(times),
    ...(cpu.length > 0 && { cpu: median(cpu) }),
    spread: [Math.min(...times), Math.max(...times)],
    starts,
  };
}

async function untilReady(url: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { status } = await fetch(`${url}/health/ready`);
    if (status === 200) return;
    if (Date.now() > deadline) throw new Error(`The service is not ready after ${PATIENCE_MS / 1_000} s`);
    await sleep(POLL_MS);
  }
}
