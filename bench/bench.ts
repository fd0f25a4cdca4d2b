import { checkEqualEffect } from './check.js';
import { type Cluster, startCluster } from './cluster.js';
import {
  type Answer,
  type Contender,
  profileFolder,
  sharedEnvironment,
  startDatabaseFloor,
  startHttp,
  startHttpFloor,
} from './contenders.js';
import { currentCommit, describeMachine, loadNow } from './machine.js';
import { type Cell, measure, type Measurement, warmUp } from './measure.js';
import { type ContenderName, floors, type Options, peers } from './options.js';
import { measureReady } from './ready.js';
import { cellName, type Result, toResult } from './result.js';

/** After so many of a kind a request takes no less CPU than before; a run that warms up for a moment only, takes fewer. */
const WARM_UP_REQUESTS = 1_000;
const WARM_UP_REQUESTS_PER_SECOND = 4_000;

/** Measures what the options ask for. Everything that was started has ended when this returns or throws. */
export async function bench(options: Options, signal: AbortSignal): Promise<Result> {
  const load = loadNow();
  const running: { stop(): Promise<void> }[] = [];
  try {
    console.log('Starting PostgreSQL and loading data ...');
    const cluster = await startCluster(options.orders);
    running.push(cluster);
    const machine = describeMachine(cluster, load);
    console.log(
      `PostgreSQL ${machine.postgresql}: ${Object.entries(machine.settings)
        .map(([name, value]) => `${name} = ${value}`)
        .join(', ')}`,
    );
    const profile = options.profile ? profileFolder() : undefined;
    signal.throwIfAborted();
    console.log('Starting the service ...');
    const ready = await measureReady(options.starts, cluster, sharedEnvironment(), signal);
    const contenders = await startAll(options, cluster, running, profile);
    const rounds = await measureAll(options, cluster, contenders, signal);
    if (profile !== undefined)
      console.log(`\nThe profile of the service is in ${profile} once it has ended.`);
    const { note, duration } = options;
    const about = {
      machine,
      commit: currentCommit(),
      date: new Date().toISOString(),
      rounds: options.rounds,
    };
    return toResult({ ...about, duration, ready, ...(note !== undefined && { note }) }, rounds);
  } finally {
    // Whatever fails to stop, the others do, the database last.
    for (const each of running.reverse()) await each.stop().catch((error: unknown) => console.error(error));
  }
}

/** Starts the service and whom it is compared with; pushes each to `running` as soon as it has to be stopped. */
async function startAll(
  options: Options,
  cluster: Cluster,
  running: { stop(): Promise<void> }[],
  profile: string | undefined,
): Promise<Contender[]> {
  const environment = sharedEnvironment();
  const starting = (['ordo', ...peers.filter((peer) => options.peers.includes(peer))] as const).map(
    async (name) => {
      const contender = await startHttp(name, cluster, environment, name === 'ordo' ? profile : undefined);
      running.push(contender);
      return contender;
    },
  );
  // All of them have come up, or failed, before anything is stopped.
  await Promise.allSettled(starting);
  const [service, ...compared] = await Promise.all(starting);
  if (service === undefined) throw new Error('The service is missing');
  const answers = await checkEqualEffect(service, compared, cluster.data);
  const names = [service, ...compared].map(({ name }) => name).join(', ');
  console.log(`Same answers, rows and log lines for the same requests: ${names}`);
  const all: Contender[] = [service, ...compared];
  for (const floor of floors) {
    if (!options.peers.includes(floor)) continue;
    const started =
      floor === 'postgresql'
        ? await startDatabaseFloor(cluster)
        : await startHttpFloor(cluster, byRoute(answers), service);
    running.push(started);
    all.push(started);
  }
  return all;
}

/** What the floor of HTTP answers to each route: what the service has answered. */
function byRoute(answers: Readonly<Record<string, Answer>>) {
  const routes = {
    'POST /v1/orders': answers.place,
    'GET /v1/orders/{id}': answers['read-order'],
    'GET /v1/users/{id}': answers['read-user'],
    'GET /v1/orders': answers.list,
    'POST /v1/auth/login': answers['sign-in'],
  };
  return Object.fromEntries(
    Object.entries(routes).map(([route, { status = 404, text = '' } = {}]) => [
      route,
      { status, body: text },
    ]),
  );
}

/** Round by round, cell by cell, one contender after the other, every other round in the opposite order. */
async function measureAll(
  options: Options,
  cluster: Cluster,
  contenders: readonly Contender[],
  signal: AbortSignal,
): Promise<Map<string, Map<ContenderName, Measurement[]>>> {
  const cells = options.workloads.flatMap((workload) =>
    options.connections.map((connections): Cell => ({ workload, connections })),
  );
  await compileAll(options, cells, contenders, signal);
  const rounds = new Map<string, Map<ContenderName, Measurement[]>>();
  for (let round = 0; round < options.rounds; round++) {
    for (const cell of cells) {
      const those = contenders.filter(({ name }) => takesPart(name, cell, round));
      const results = rounds.get(cellName(cell)) ?? new Map<ContenderName, Measurement[]>();
      rounds.set(cellName(cell), results);
      for (const { name } of those) if (!results.has(name)) results.set(name, []);
      for (const contender of round % 2 === 0 ? those : those.toReversed()) {
        await warmUp(contender, cell, { seconds: options.warmUp, requests: 0 }, signal);
        const measured = await measure(contender, cell, options.duration, cluster, signal);
        results.get(contender.name)?.push(measured);
        signal.throwIfAborted();
      }
      console.log(progress(round, cell, results));
    }
  }
  return rounds;
}

/** Has every contender carry out each workload until its code is compiled, which on a busy machine takes long. */
async function compileAll(
  options: Options,
  cells: readonly Cell[],
  contenders: readonly Contender[],
  signal: AbortSignal,
): Promise<void> {
  console.log('Warming up ...');
  const most = Math.min(WARM_UP_REQUESTS, WARM_UP_REQUESTS_PER_SECOND * options.warmUp);
  for (const cell of cells.filter(({ connections }) => connections === Math.max(...options.connections))) {
    const requests = cell.workload === 'sign-in' ? 1 : most;
    for (const contender of contenders.filter(({ name }) => takesPart(name, cell, 0))) {
      await warmUp(contender, cell, { seconds: options.warmUp, requests }, signal);
    }
  }
}

/** The floors are measured once, and no floor of the database checks passwords. */
function takesPart(name: ContenderName, { workload }: Cell, round: number): boolean {
  if (name === 'postgresql' && workload === 'sign-in') return false;
  return round === 0 || !floors.some((floor) => floor === name);
}

function progress(round: number, cell: Cell, results: ReadonlyMap<ContenderName, Measurement[]>): string {
  const each = [...results].flatMap(([name, measured]) => {
    const now = measured[round];
    return now === undefined ? [] : [`${name} ${now.throughput.toFixed(0)}/s`];
  });
  return `round ${round + 1}  ${cellName(cell)}: ${each.join(', ')}`;
}
