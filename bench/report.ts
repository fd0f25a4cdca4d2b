import type { Result } from './result.js';

/** The tables of a result as Markdown, which is what the terminal shows as well. */
export function toMarkdown(result: Result): string {
  return [aboutMachine(result), ...Object.keys(result.workloads).map((cell) => tableOf(result, cell))].join(
    '\n\n',
  );
}

/** Where and how it was measured. */
function aboutMachine({ machine, commit, date, note, rounds, duration, ready }: Result): string {
  const { settings } = machine;
  const lines = [
    `- Machine: ${machine.cpu}, ${machine.cores} cores, ${gib(machine.memory)} GiB, ${machine.system}; load before the run ${machine.load.toFixed(1)}`,
    `- Node.js ${machine.node}, PostgreSQL ${machine.postgresql} (${Object.entries(settings)
      .map(([name, value]) => `${name} = ${value}`)
      .join(', ')})`,
    `- A flushed write of 8 KiB takes ${machine.flush.toFixed(2)} ms${machine.isInMemory ? ': the data lies in memory, where durability costs nothing; set TMPDIR to a disk' : ''}`,
    `- Commit ${commit ?? 'unknown'}, ${date}; median of ${rounds} rounds of ${duration} s, the floors once`,
    `- Started and migrated, Ordo is ready after ${inSeconds(ready.milliseconds)} s (${ready.spread.map(inSeconds).join('-')}, median of ${ready.starts} starts)${ready.cpu === undefined ? '' : `, of which ${ready.cpu.toFixed(2)} s CPU`}`,
    ...(note === undefined ? [] : [`- ${note}`]),
  ];
  return lines.join('\n');
}

const COLUMNS = [
  'requests/s',
  'p50 ms',
  'p99 ms',
  'CPU s/1,000: service',
  'PostgreSQL',
  'RSS MiB',
  'client cores',
];

function tableOf({ workloads, ratios }: Result, cell: string): string {
  const rows = Object.entries(workloads[cell] ?? {}).map(([name, measured]) => [
    name,
    measured.throughput.toFixed(measured.throughput < 100 ? 1 : 0),
    measured.p50.toFixed(2),
    measured.p99.toFixed(2),
    measured.cpu?.service.toFixed(3) ?? '-',
    measured.cpu?.postgresql.toFixed(3) ?? '-',
    measured.rss === undefined ? '-' : (measured.rss / 2 ** 20).toFixed(0),
    measured.clientCores.toFixed(2),
  ]);
  const compared = Object.entries(ratios[cell] ?? {}).map(
    ([peer, { throughput, p99, spread }]) =>
      `ordo / ${peer}: throughput **${times(throughput)}** (${range(spread.throughput)}), ` +
      `p99 **${times(p99)}** (${range(spread.p99)})`,
  );
  return [`## ${cell}`, '', ...table([[''].concat(COLUMNS), ...rows]), '', compared.join('  \n')]
    .join('\n')
    .trimEnd();
}

/** Cells padded to the width of their column, numbers to the right. */
function table([head = [], ...rows]: readonly (readonly string[])[]): string[] {
  const widths = head.map((_, column) =>
    Math.max(3, ...[head, ...rows].map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...rows.map(line)];
}

function times(ratio: number): string {
  return `${ratio.toFixed(2)}x`;
}

function range([low, high]: readonly [number, number]): string {
  return `${low.toFixed(2)}-${high.toFixed(2)}`;
}

function inSeconds(milliseconds: number): string {
  return (milliseconds / 1_000).toFixed(2);
}

function gib(bytes: number): string {
  return (bytes / 2 ** 30).toFixed(0);
}
