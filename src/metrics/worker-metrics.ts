import type { Worker } from 'node:cluster';
import {
  AggregatorRegistry,
  type MetricObjectWithValues,
  type MetricValue,
  type Registry,
} from 'prom-client';

/** What the primary asks, and how a worker begins its answer. */
const METRICS = 'metrics';

interface Answer {
  readonly [METRICS]: MetricObjectWithValues<MetricValue<string>>[];
}

/** One that is busy for longer is left out. */
const PATIENCE_MS = 2_000;

/** For a worker: tells the primary what it has measured whenever it asks. */
export function tellPrimary(registry: Registry): void {
  process.on('message', (message) => {
    if (message !== METRICS) return;
    void registry.getMetricsAsJSON().then((metrics) => process.send?.({ [METRICS]: metrics }));
  });
}

/** For the primary: what these workers have measured together, but for those that do not answer. */
export async function metricsOf(workers: readonly Worker[]): Promise<string> {
  const answers = await Promise.all(workers.map(ask));
  return AggregatorRegistry.aggregate(answers.filter((answer) => answer !== undefined)).metrics();
}

async function ask(worker: Worker): Promise<Answer[typeof METRICS] | undefined> {
  if (!worker.isConnected()) return undefined;
  const { promise, resolve } = Promise.withResolvers<Answer[typeof METRICS] | undefined>();
  const listen = (message: Partial<Answer> | string) => {
    if (typeof message === 'object' && message[METRICS] !== undefined) resolve(message[METRICS]);
  };
  worker.on('message', listen);
  const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
  worker.send(METRICS, () => undefined);
  return promise.finally(() => {
    clearTimeout(timer);
    worker.off('message', listen);
  });
}
