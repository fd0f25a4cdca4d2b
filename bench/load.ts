import autocannon from 'autocannon';
import type { BenchRequest } from './workloads.js';

/** What came of driving a contender for a while; latencies in milliseconds, ascending. */
export interface Load {
  readonly seconds: number;
  readonly latencies: Float64Array;
  /** What was answered otherwise than 2xx or not at all, in words; empty when all went well. */
  readonly failures: string;
}

/** How long to go on: for so many seconds, and until so many requests are answered. */
export interface Extent {
  readonly seconds: number;
  readonly requests: number;
}

interface Drive {
  readonly url: string;
  readonly next: () => BenchRequest;
  readonly connections: number;
  readonly extent: Extent;
  readonly signal: AbortSignal;
}

/** Far above what anything takes, even on a busy machine. */
const TIMEOUT_SECONDS = 60;
const LONGEST_SECONDS = 600;

/** Sends one request after the other on each connection. */
export async function drive({ url, next, connections, extent, signal }: Drive): Promise<Load> {
  const { promise, resolve, reject } = Promise.withResolvers<autocannon.Result>();
  // autocannon's own histogram counts whole milliseconds.
  const latencies: number[] = [];
  const started = performance.now();
  let ended = started;
  const run = autocannon(
    {
      url,
      connections,
      timeout: TIMEOUT_SECONDS,
      // Somebody who is gone answers nothing any more.
      bailout: connections,
      duration: LONGEST_SECONDS,
      // How often it looks whether it is to stop.
      sampleInt: 10,
      requests: [{ setupRequest: next }],
    },
    (error: Error | null, result) => {
      if (error) reject(error);
      else resolve(result);
    },
  );
  run.on('response', (_client, _status, _bytes, milliseconds) => {
    latencies.push(milliseconds);
    ended = performance.now();
    if (ended - started >= extent.seconds * 1_000 && latencies.length >= extent.requests) run.stop();
  });
  const abort = () => run.stop();
  signal.addEventListener('abort', abort, { once: true });
  const result = await promise;
  signal.removeEventListener('abort', abort);
  signal.throwIfAborted();
  return {
    seconds: (ended - started) / 1_000,
    latencies: Float64Array.from(latencies).sort(),
    failures: failuresOf(result),
  };
}

function failuresOf({ non2xx, errors, timeouts, statusCodeStats = {} }: autocannon.Result): string {
  const statuses = Object.entries(statusCodeStats).filter(([status]) => !status.startsWith('2'));
  return [
    ...(non2xx > 0 ? statuses.map(([status, { count = 0 }]) => `${count} x ${status}`) : []),
    ...(errors > 0 ? [`${errors} connection errors`] : []),
    ...(timeouts > 0 ? [`${timeouts} timeouts`] : []),
  ].join(', ');
}
