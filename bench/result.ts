import type { Machine } from './machine.js';
import type { Cell, Measurement } from './measure.js';
import { median } from './median.js';
import { type ContenderName, peers } from './options.js';
import type { Ready } from './ready.js';

/** All that was measured, by cell (`place@64`) and contender, each round for itself. */
export type Rounds = ReadonlyMap<string, ReadonlyMap<ContenderName, readonly Measurement[]>>;

/** The service divided by a peer, of medians and, as lowest and highest, of what was measured in the same round. */
interface Ratio {
  readonly throughput: number;
  readonly p99: number;
  readonly spread: {
    readonly throughput: readonly [number, number];
    readonly p99: readonly [number, number];
  };
}

/** CPU seconds per 1,000 requests, of the contender and PostgreSQL together and each; `rss` in bytes. */
interface Medians extends Measurement {
  readonly cpuPer1000?: number;
}

export interface Result {
  readonly machine: Machine;
  readonly commit: string | undefined;
  readonly date: string;
  readonly note?: string;
  readonly rounds: number;
  readonly duration: number;
  readonly ready: Ready;
  readonly workloads: Readonly<Record<string, Readonly<Partial<Record<ContenderName, Medians>>>>>;
  readonly ratios: Readonly<Record<string, Readonly<Partial<Record<ContenderName, Ratio>>>>>;
}

type About = Omit<Result, 'workloads' | 'ratios'>;

export function cellName({ workload, connections }: Cell): string {
  return `${workload}@${connections}`;
}

/** The medians over the rounds, and what the service's are in relation to those of its peers. */
export function toResult(about: About, rounds: Rounds): Result {
  const workloads: Record<string, Partial<Record<ContenderName, Medians>>> = {};
  const ratios: Record<string, Partial<Record<ContenderName, Ratio>>> = {};
  for (const [cell, contenders] of rounds) {
    const medians: Partial<Record<ContenderName, Medians>> = {};
    const ofPeers: Partial<Record<ContenderName, Ratio>> = {};
    for (const [name, all] of contenders) medians[name] = mediansOf(all);
    for (const peer of peers) {
      const ratio = ratioOf(contenders.get('ordo') ?? [], contenders.get(peer) ?? []);
      if (ratio !== undefined) ofPeers[peer] = ratio;
    }
    workloads[cell] = medians;
    ratios[cell] = ofPeers;
  }
  return { ...about, workloads, ratios };
}

function mediansOf(all: readonly Measurement[]): Medians {
  const of = (part: (measured: Measurement) => number | undefined) =>
    median(all.map(part).filter((value) => value !== undefined));
  const service = of(({ cpu }) => cpu?.service);
  const postgresql = of(({ cpu }) => cpu?.postgresql);
  return {
    throughput: of(({ throughput }) => throughput),
    p50: of(({ p50 }) => p50),
    p99: of(({ p99 }) => p99),
    ...(!Number.isNaN(service) && {
      cpuPer1000: service + postgresql,
      cpu: { service, postgresql },
      rss: of(({ rss }) => rss),
    }),
    clientCores: of(({ clientCores }) => clientCores),
  };
}

function ratioOf(ours: readonly Measurement[], theirs: readonly Measurement[]): Ratio | undefined {
  if (ours.length === 0 || theirs.length === 0) return undefined;
  const [own, other] = [mediansOf(ours), mediansOf(theirs)];
  const spread = (part: 'throughput' | 'p99'): [number, number] => {
    const each = ours.map((measured, round) => measured[part] / (theirs[round]?.[part] ?? NaN));
    return [Math.min(...each), Math.max(...each)];
  };
  return {
    throughput: own.throughput / other.throughput,
    p99: own.p99 / other.p99,
    spread: { throughput: spread('throughput'), p99: spread('p99') },
  };
}
