import { readFileSync } from 'node:fs';

/** What a tree of processes has used: CPU seconds so far, resident bytes now. */
export interface Usage {
  readonly cpu: number;
  readonly rss: number;
}

/** Linux counts CPU time for /proc in hundredths of a second, whatever the kernel's own tick. */
const TICKS_PER_SECOND = 100;

/**
 * What the process and all below it have used; undefined where there is no /proc. The time of children that have
 * ended is their parent's.
 */
export function usageOf(pid: number): Usage | undefined {
  if (process.platform !== 'linux') return undefined;
  let cpu = 0;
  let rss = 0;
  for (const each of treeOf(pid)) {
    // The name in parentheses may hold anything; behind it the fields are numbered from 3.
    const stat = read(`/proc/${each}/stat`);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    cpu += [14, 15, 16, 17].reduce((sum, field) => sum + Number(fields[field - 3] ?? 0), 0);
    rss += Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${each}/status`))?.[1] ?? 0) * 1_024;
  }
  return { cpu: cpu / TICKS_PER_SECOND, rss };
}

/** The same of this process, without those that it has started. */
export function ownUsage(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpu: (user + system) / 1_000_000, rss: process.memoryUsage.rss() };
}

function treeOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(treeOf)];
}

/** Empty for a process that has just ended. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
