import cluster, { type Worker } from 'node:cluster';
import { on, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Config } from './config/config.js';
import { lineFormat } from './config/line-format.js';
import { StartupError } from './config/startup-error.js';
import { listensOn, take } from './listening.js';
import { MetricsServer } from './metrics/metrics-server.js';
import { metricsOf } from './metrics/worker-metrics.js';

/** What a worker says: that it wants to know its database, and later on which port it serves. */
type FromWorker = 'starting' | { readonly port: number };

/** What it is answered: the embedded database, where there is one, and the port that the first has found free. */
interface FromPrimary {
  readonly answer: 'starting';
  readonly embeddedUrl: string | undefined;
  readonly port: number | undefined;
}

const RESTART_PAUSE_MS = 1_000;

/**
 * Runs the service in `WORKERS` processes that share its ports, until told to stop and the last of them is over. A
 * worker that ends for whatever reason is replaced. Throws StartupError when the first cannot start.
 */
export async function superviseWorkers(
  config: Config,
  embeddedUrl: string | undefined,
  toldToStop: Promise<unknown>,
): Promise<void> {
  const logger = pino(lineFormat(config.LOG_LEVEL));
  const stopping = new AbortController();
  const serving = new Set<Worker>();
  let told: FromPrimary = { answer: 'starting', embeddedUrl, port: undefined };
  cluster.on('message', (worker, message: FromWorker) => {
    if (message === 'starting') worker.send(told);
    else if (hasPort(message)) serving.add(worker);
  });
  cluster.on('exit', (worker) => serving.delete(worker));
  void toldToStop.then(() => {
    stopping.abort();
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM');
  });

  const metrics = new MetricsServer({
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    metrics: () => metricsOf([...serving]),
  });
  const host = config.HOST ?? (embeddedUrl && '127.0.0.1');
  await take('METRICS_PORT', config.METRICS_PORT, () => metrics.listen(config.METRICS_PORT, host));
  // The first alone: what is wrong, and the password of the first admin, is told once.
  const first = cluster.fork();
  const port = await portOf(first);
  told = { answer: 'starting', embeddedUrl, port };
  if (port === undefined && !stopping.signal.aborted) throw new StartupError('No worker could start');
  const others = Array.from({ length: stopping.signal.aborted ? 0 : config.WORKERS - 1 }, () =>
    cluster.fork(),
  );
  await Promise.all(others.map(portOf));
  if (port !== undefined) logger.info(listensOn(port));
  await Promise.all([first, ...others].map((worker) => keepRunning(worker, stopping.signal, logger)));
  metrics.close();
}

/** For a worker: what it needs to know before it starts. */
export async function askPrimary(): Promise<FromPrimary> {
  process.send?.('starting' satisfies FromWorker);
  // The primary may ask for metrics meanwhile.
  for await (const [message] of on(process, 'message') as AsyncIterable<[FromPrimary | { answer?: never }]>) {
    if (message.answer === 'starting') return message;
  }
  throw new Error('The primary has gone');
}

/** For a worker: tells the primary that it serves. */
export function tellPort(port: number): void {
  process.send?.({ port } satisfies FromWorker);
}

/** Whether a worker says that it serves; it also answers when it is asked for metrics. */
function hasPort(message: FromWorker | object): message is { readonly port: number } {
  return typeof message === 'object' && 'port' in message;
}

/** The port that a worker serves on, once it does; undefined when it ends before. */
async function portOf(worker: Worker): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  worker.on('message', (message: FromWorker) => {
    if (hasPort(message)) resolve(message.port);
  });
  void over(worker).then(() => resolve(undefined));
  return promise;
}

async function keepRunning(worker: Worker, stopping: AbortSignal, logger: pino.Logger): Promise<void> {
  const hasStopped = () => stopping.aborted;
  for (let current = worker; ; current = cluster.fork()) {
    await over(current);
    if (hasStopped()) return;
    const { exitCode, signalCode } = current.process;
    logger.error(
      { worker: current.process.pid, exitCode, signalCode },
      'A worker has ended: another takes its place',
    );
    await delay(RESTART_PAUSE_MS, undefined, { signal: stopping }).catch(() => undefined);
    if (hasStopped()) return;
  }
}

async function over(worker: Worker): Promise<void> {
  if (!worker.isDead()) await once(worker, 'exit');
}
