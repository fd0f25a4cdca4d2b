import { startRelay } from '../support/relay.js';

/** How often readiness is asked for, and for how long an endpoint that is not ready still gets connections. */
const PROBE_MS = 200;
const LAG_MS = 1_000;
const PROBE_PATIENCE_MS = 5_000;

interface Endpoint {
  readonly name: string;
  readonly port: number;
  isReady: boolean;
  isServed: boolean;
}

/** What a Service of Kubernetes is: a TCP port in front of those replicas that are ready, as far as is known. */
export interface Balancer {
  readonly url: string;
  /** Asks for the readiness of a replica from now on. */
  add(name: string, port: number): void;
  /** Asks no more, as when a pod is gone. */
  remove(name: string): void;
  isReady(name: string): boolean;
  /** The replica that a client was connected with last, by the port that it calls from. */
  servedBy(clientPort: number | undefined): string | undefined;
  /** `name: what it said` of replicas that were ready and then were not. */
  readonly lapses: readonly string[];
  stop(): Promise<void>;
}

export async function startBalancer(): Promise<Balancer> {
  const endpoints = new Map<string, Endpoint>();
  const served = new Map<number, string>();
  const lapses: string[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let turn = 0;
  const relay = await startRelay((clientPort) => {
    const able = [...endpoints.values()].filter((endpoint) => endpoint.isServed);
    const endpoint = able[turn++ % Math.max(1, able.length)];
    if (endpoint !== undefined) served.set(clientPort, endpoint.name);
    return endpoint?.port;
  });

  function later(milliseconds: number, work: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, milliseconds);
    timers.add(timer);
  }

  async function probe(endpoint: Endpoint): Promise<void> {
    if (endpoints.get(endpoint.name) !== endpoint) return;
    const said = await fetch(`http://127.0.0.1:${endpoint.port}/health/ready`, {
      signal: AbortSignal.timeout(PROBE_PATIENCE_MS),
    })
      .then(async (answer) => (answer.ok ? 'ready' : answer.text()))
      .catch((error: unknown) => String(error));
    const wasReady = endpoint.isReady;
    endpoint.isReady = said === 'ready';
    if (endpoint.isReady) endpoint.isServed = true;
    else if (wasReady) {
      lapses.push(`${endpoint.name}: ${said}`);
      later(LAG_MS, () => (endpoint.isServed = endpoint.isReady));
    }
    later(PROBE_MS, () => void probe(endpoint));
  }

  return {
    url: `http://127.0.0.1:${relay.port}`,
    add(name, port) {
      const endpoint = { name, port, isReady: false, isServed: false };
      endpoints.set(name, endpoint);
      void probe(endpoint);
    },
    remove: (name) => void endpoints.delete(name),
    isReady: (name) => endpoints.get(name)?.isReady === true,
    servedBy: (clientPort) => (clientPort === undefined ? undefined : served.get(clientPort)),
    lapses,
    async stop() {
      endpoints.clear();
      for (const timer of timers) clearTimeout(timer);
      await relay.stop();
    },
  };
}
