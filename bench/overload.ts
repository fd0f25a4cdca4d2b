import autocannon from 'autocannon';
import { startCluster } from './cluster.js';
import { type HttpContender, profileFolder, send, sharedEnvironment, startHttp } from './contenders.js';
import { quantile } from './measure.js';
import type { Options } from './options.js';
import { median } from './median.js';
import { workloads } from './workloads.js';

/** Connections over which the service is at its best, and over which more comes than it can do. */
const CONNECTIONS = { peak: 64, overload: 1_500 };
const OVERLOAD = 3;
const PROBE_MS = 100;

/** What came of sending for a while; answers a second, latencies in milliseconds. */
interface Outcome {
  /** Answers with 2xx. */
  readonly goodput: number;
  readonly p99: number;
  readonly refused: number;
  /** Answers with neither 2xx nor 503, and requests without an answer. */
  readonly failed: number;
  /** Cores that the client took, which on a small machine are the service's. */
  readonly cores: number;
}

/**
 * Measures what is left of the placements a second when three times as many are asked for as the service can place,
 * how long those take that are accepted, and how long probes take meanwhile; prints it.
 */
export async function measureOverload(options: Options, signal: AbortSignal) {
  const { orders, rounds, duration, warmUp } = options;
  const profile = options.profile ? profileFolder() : undefined;
  const cluster = await startCluster(orders);
  const stops = [() => cluster.stop()];
  try {
    const service = await startHttp('ordo', cluster, sharedEnvironment(), profile);
    stops.push(() => service.stop());
    const next = async () => {
      const tokens = await service.tokens();
      return () => workloads.place(cluster.data, tokens);
    };
    const run = async (seconds: number, rate?: number) => {
      signal.throwIfAborted();
      await cluster.checkpoint();
      return sendFor(seconds, { url: service.server.url, next: await next(), rate });
    };
    // Both once, so that the code of both is compiled.
    const { goodput } = await run(warmUp);
    await run(warmUp, OVERLOAD * goodput);
    const kept: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      const peak = await run(duration);
      const probes = probe(service);
      const overload = await run(duration, OVERLOAD * peak.goodput);
      const { failed, slowest } = await probes();
      kept.push(overload.goodput / peak.goodput);
      console.log(
        `round ${round}  at ${CONNECTIONS.peak} connections ${peak.goodput.toFixed(0)}/s, p99 ${peak.p99.toFixed(0)} ms; ` +
          `asked for ${(OVERLOAD * peak.goodput).toFixed(0)}/s: ${overload.goodput.toFixed(0)}/s, p99 ${overload.p99.toFixed(0)} ms, ` +
          `${overload.refused.toFixed(0)}/s refused, ${overload.failed + peak.failed} failed; ` +
          `probes: ${failed} failed, slowest ${slowest.toFixed(0)} ms; ` +
          `the client took ${peak.cores.toFixed(2)} and ${overload.cores.toFixed(2)} cores`,
      );
    }
    console.log(`Goodput at ${OVERLOAD} times the load: ${(100 * median(kept)).toFixed(0)} % (median)`);
    if (profile !== undefined) console.log(`The profile of the service is in ${profile}`);
  } finally {
    for (const stop of stops.reverse()) await stop().catch((error: unknown) => console.error(error));
  }
}

interface Sending {
  readonly url: string;
  readonly next: () => autocannon.Request;
  /** Requests a second, sent whether or not those before are answered; undefined for one after the other. */
  readonly rate: number | undefined;
}

async function sendFor(seconds: number, { url, next, rate }: Sending): Promise<Outcome> {
  const accepted: number[] = [];
  let refused = 0;
  const before = process.cpuUsage();
  const { promise, resolve, reject } = Promise.withResolvers<autocannon.Result>();
  const run = autocannon(
    {
      url,
      connections: rate === undefined ? CONNECTIONS.peak : CONNECTIONS.overload,
      duration: seconds,
      timeout: 60,
      requests: [{ setupRequest: next }],
      ...(rate !== undefined && { overallRate: rate }),
    },
    (error: Error | null, result) => {
      if (error) reject(error);
      else resolve(result);
    },
  );
  run.on('response', (_client, status, _bytes, milliseconds) => {
    if (status < 300) accepted.push(milliseconds);
    else if (status === 503) refused++;
  });
  const { duration, errors, timeouts, non2xx } = await promise;
  const { user, system } = process.cpuUsage(before);
  return {
    cores: (user + system) / 1e6 / duration,
    goodput: accepted.length / duration,
    p99: quantile(Float64Array.from(accepted).sort(), 0.99),
    refused: refused / duration,
    failed: errors + timeouts + non2xx - refused,
  };
}

/** Asks for the service's health again and again; the function that it returns ends that and tells what came of it. */
function probe({ server }: HttpContender) {
  let failed = 0;
  let slowest = 0;
  const timer = setInterval(() => {
    for (const path of ['/health/live', '/health/ready']) {
      const start = performance.now();
      void send(server.url, { method: 'GET', path, headers: {} })
        .then(
          ({ status }) => status === 200,
          () => false,
        )
        .then((isGreen) => {
          if (!isGreen) failed++;
          slowest = Math.max(slowest, performance.now() - start);
        });
    }
  }, PROBE_MS);
  return () => {
    clearInterval(timer);
    return Promise.resolve({ failed, slowest });
  };
}
