import { spawnSync } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { cpus, loadavg, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cluster } from './cluster.js';

/** Where a run took place. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly system: string;
  readonly node: string;
  readonly postgresql: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Milliseconds that a flushed write of 8 KiB takes beside the database's data, in the median. */
  readonly flush: number;
  /** Whether the data lies in memory, where flushing costs nothing. */
  readonly isInMemory: boolean;
  /** The load of the last minute before the run. */
  readonly load: number;
}

const TMPFS = 0x01021994;

export function describeMachine({ folder, version, settings }: Cluster, load: number): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memory: totalmem(),
    system: `${platform()} ${release()}`,
    node: process.version,
    postgresql: version,
    settings,
    flush: flushTime(folder),
    isInMemory: platform() === 'linux' && statfsSync(folder).type === TMPFS,
    load,
  };
}

export function loadNow(): number {
  return loadavg()[0] ?? 0;
}

/** The commit of the checkout, with `-dirty` where files were changed since; undefined outside a checkout. */
export function currentCommit(): string | undefined {
  const git = (...args: string[]) =>
    spawnSync('git', args, { cwd: fileURLToPath(new URL('.', import.meta.url)), encoding: 'utf8' });
  const head = git('rev-parse', '--short=12', 'HEAD');
  if (head.status !== 0) return undefined;
  return head.stdout.trim() + (git('status', '--porcelain').stdout.trim() === '' ? '' : '-dirty');
}

function flushTime(folder: string): number {
  const path = join(folder, 'flush');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(8_192, 1);
  const times = Array.from({ length: 51 }, () => {
    const started = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    return performance.now() - started;
  });
  closeSync(file);
  rmSync(path);
  return times.sort((a, b) => a - b)[25] ?? NaN;
}
