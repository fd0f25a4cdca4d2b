import type { Cluster } from './cluster.js';
import type { Contender } from './contenders.js';
import type { Extent } from './load.js';
import { ownUsage, usageOf } from './usage.js';
import { type WorkloadName, workloads } from './workloads.js';

/** One workload over so many connections. */
export interface Cell {
  readonly workload: WorkloadName;
  readonly connections: number;
}

/** What was measured once, or the medians of several times. */
export interface Measurement {
  /** Requests a second. */
  readonly throughput: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** CPU seconds per 1,000 requests, of the contender and of PostgreSQL; unknown where there is no /proc. */
  readonly cpu?: { readonly service: number; readonly postgresql: number };
  /** The most bytes that the contender held in memory. */
  readonly rss?: number;
  /** Cores that the client kept busy meanwhile. */
  readonly clientCores: number;
}

const SAMPLE_MS = 100;

/** Warms a contender up in one cell, for so many seconds and requests, and waits until it is done with that. */
export async function warmUp(
  contender: Contender,
  { workload, connections }: Cell,
  extent: Extent,
  signal: AbortSignal,
): Promise<void> {
  const next = workloads[workload];
  // Passwords that are left waiting would take as long again to get rid of.
  await contender.drive(next, workload === 'sign-in' ? 1 : connections, extent, signal);
  await contender.settle(next);
}

/**
 * Measures a contender in one cell for so many seconds, or longer: what is over before each connection has its second
 * answer would count the quick ones alone. Throws when a request fails.
 */
export async function measure(
  contender: Contender,
  { workload, connections }: Cell,
  seconds: number,
  cluster: Cluster,
  signal: AbortSignal,
): Promise<Measurement> {
  const next = workloads[workload];
  await cluster.checkpoint();

  const before = snapshot(contender, cluster);
  let rss = 0;
  const sampler = setInterval(() => {
    rss = Math.max(rss, contender.usage()?.rss ?? 0);
  }, SAMPLE_MS);
  const load = await contender
    .drive(next, connections, { seconds, requests: 2 * connections }, signal)
    .finally(() => clearInterval(sampler));
  const after = snapshot(contender, cluster);
  rss = Math.max(rss, after.rss);
  await contender.settle(next);

  const { latencies, failures } = load;
  if (failures !== '') throw new Error(`${contender.name} failed in ${workload}@${connections}: ${failures}`);
  const per1000 = (used: number) => (used / latencies.length) * 1_000;
  return {
    throughput: latencies.length / load.seconds,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    ...(rss > 0 && {
      cpu: {
        service: per1000(after.service - before.service),
        postgresql: per1000(after.postgresql - before.postgresql),
      },
      rss,
    }),
    clientCores: (after.client - before.client) / load.seconds,
  };
}

/** CPU seconds used so far. */
function snapshot(contender: Contender, cluster: Cluster) {
  const service = contender.usage();
  return {
    service: service?.cpu ?? 0,
    rss: service?.rss ?? 0,
    postgresql: usageOf(cluster.pid)?.cpu ?? 0,
    client: ownUsage().cpu,
  };
}

/** The smallest value that is not below the share of all. */
export function quantile(ascending: Float64Array, share: number): number {
  return ascending[Math.max(0, Math.ceil(ascending.length * share) - 1)] ?? NaN;
}
