import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';

const RUN = new URL('../../bench/run.mjs', import.meta.url).pathname;
const PEERS = ['nest-typeorm', 'fastify-pg'];

/** Runs the benchmark in a temporary folder of its own; answers its exit code and what it printed. */
async function bench(folder: string, ...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [RUN, ...args], { env: { ...process.env, TMPDIR: folder } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)));
  await once(child, 'close');
  return { code: child.exitCode, output };
}

const temporaryFolder = () => mkdtemp(join(tmpdir(), 'ordo-bench-test-'));

// It also holds the peers to what the service does: before it measures, it compares answers and rows.
it('measures the service and its peers and divides one by the other', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'result.json');
  const tiny = [
    '--workload',
    'read-order',
    '--connections',
    '1',
    '--rounds',
    '1',
    '--starts',
    '1',
    '--orders',
    '100',
  ];
  const times = ['--duration', '0.3', '--warm-up', '0.01'];
  const peers = PEERS.flatMap((peer) => ['--peer', peer]);
  await chmod(folder, 0o755);
  const { code, output } = await bench(folder, ...tiny, ...times, ...peers, '--json', file);
  if (code !== 0) throw new Error(`The benchmark ended with ${code}:\n${output}`);

  const result = JSON.parse(await readFile(file, 'utf8'));
  expect(result.machine).toMatchObject({
    cores: expect.any(Number),
    settings: { fsync: 'on', synchronous_commit: 'on' },
  });
  expect(result.ready).toMatchObject({
    starts: 1,
    spread: [result.ready.milliseconds, result.ready.milliseconds],
  });
  expect(result.ready.milliseconds).toBeGreaterThan(0);
  expect(output).toContain('Started and migrated, Ordo is ready after');
  expect(Object.keys(result.workloads)).toEqual(['read-order@1']);
  const measured = result.workloads['read-order@1'];
  expect(Object.keys(measured)).toEqual(['ordo', ...PEERS]);
  for (const name of ['ordo', ...PEERS]) {
    const { throughput, p50, p99 } = measured[name];
    expect(Math.min(throughput, p50, p99)).toBeGreaterThan(0);
    expect(p99).toBeGreaterThanOrEqual(p50);
    if (process.platform === 'linux')
      expect(Math.min(measured[name].cpuPer1000, measured[name].rss)).toBeGreaterThan(0);
  }
  for (const peer of PEERS) {
    expect(result.ratios['read-order@1'][peer]).toMatchObject({
      throughput: measured.ordo.throughput / measured[peer].throughput,
      p99: measured.ordo.p99 / measured[peer].p99,
    });
    expect(output).toContain(`ordo / ${peer}: throughput`);
  }
  // Nothing stays behind.
  expect(await readdir(folder)).toEqual(['result.json']);
  await rm(folder, { recursive: true });
}, 120_000);

it('says what it does not know', async () => {
  const folder = await temporaryFolder();
  const { code, output } = await bench(folder, '--workload', 'nothing');
  expect(code).toBe(1);
  expect(output).toContain('--workload is one of place, read-order');
  await rm(folder, { recursive: true });
});
