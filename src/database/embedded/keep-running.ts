import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Cluster } from './cluster.js';
import { isServerStopping, lockCluster } from './folder-lock.js';
import { ensurePostmaster, stopPostmaster } from './postmaster.js';

export type Log = (level: 'info' | 'warn' | 'error', message: string) => void;

const FIRST_DELAY_MS = 100;
const LAST_DELAY_MS = 10_000;

/**
 * Brings the server back, on the same port so that connection pools find it, whenever the connection that holds the
 * lock ends: the server crashed, was killed, or was stopped by somebody else. Returns the function that ends both this
 * and the server, and that fails only if the server does not stop within a minute.
 */
export function keepRunning(
  cluster: Cluster,
  settings: readonly string[],
  port: number,
  firstLock: pg.Client,
  log: Log,
): () => Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  const isStopping = () => signal.aborted;
  let restarting = Promise.resolve();
  let lock = watched(firstLock);

  function watched(client: pg.Client): pg.Client {
    return client.once('end', () => {
      if (!isStopping()) restarting = restart();
    });
  }

  async function restart(): Promise<void> {
    log('warn', 'Lost the connection to the embedded PostgreSQL: bringing it back');
    for (let delay = FIRST_DELAY_MS; !isStopping(); delay = Math.min(2 * delay, LAST_DELAY_MS)) {
      try {
        const found = await ensurePostmaster(cluster, settings, port, signal);
        if (found.port !== port) throw new Error(`somebody else started it on port ${found.port}`);
        lock = watched(await lockCluster(cluster, port));
        log('info', `The embedded PostgreSQL is back on port ${port}`);
        return;
      } catch (error) {
        // After stop() the failure is that of an aborted wait, and the loop ends.
        if (!isStopping() && !isServerStopping(error)) {
          log('error', `The embedded PostgreSQL is not back yet: ${reason(error)}`);
        }
        await sleep(delay, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  return async () => {
    stopping.abort();
    await restarting;
    try {
      await stopPostmaster(cluster, port);
    } finally {
      await lock.end();
    }
  };
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
