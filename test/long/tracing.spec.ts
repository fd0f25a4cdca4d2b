import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Collector, type ReceivedSpan, startCollector, valuesOf } from '../support/collector.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import {
  createFolder,
  eventually,
  freePort,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from '../support/process.js';
import { lines } from '../support/samples.js';

const ADMIN = { email: 'canary.admin@example.com', password: 'canary admin password' };
const TELL_PACKAGES = new URL('../support/tell-packages.mjs', import.meta.url).href;
const SERVER = 2;
const CLIENT = 3;

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
const started: ServiceProcess[] = [];
beforeAll(async () => {
  database = await createDatabase();
  folder = await createFolder();
});
afterAll(async () => {
  await Promise.all(started.map(stop));
  await database.drop();
  await folder.remove();
});

function start(environment: Record<string, string>): ServiceProcess {
  const service = startProcess(folder.folder, {
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    HOST: '127.0.0.1',
    ADMIN_EMAIL: ADMIN.email,
    ADMIN_PASSWORD: ADMIN.password,
    NODE_OPTIONS: `--import=${TELL_PACKAGES}`,
    ...environment,
  });
  started.push(service);
  return service;
}

async function stop(service: ServiceProcess): Promise<number | null> {
  service.process.kill('SIGTERM');
  return service.exited();
}

/** The packages that a process has loaded, each once. */
function packagesOf({ lines: told }: ServiceProcess): string[] {
  const names = told.flatMap((line) => /^loads (\S+)$/.exec(line)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/** What a caller sends of its trace; the ids are random. */
function callersTrace(flags: '00' | '01' = '01') {
  const traceId = randomBytes(16).toString('hex');
  const spanId = randomBytes(8).toString('hex');
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-${flags}` } };
}

/** A problem, or a batch with one. */
interface Answer {
  readonly traceId?: string;
  readonly data?: readonly { readonly body: { readonly traceId?: string } }[];
}

async function send(url: string, method: string, path: string, init: RequestInit & { token?: string } = {}) {
  const { token, headers, ...rest } = init;
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(rest.body !== undefined && { 'Content-Type': 'application/json' }),
      ...(method === 'POST' && { 'Idempotency-Key': randomUUID() }),
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...rest,
  });
  return { status: response.status, body: (await response.json()) as Answer };
}

describe('with a collector', () => {
  let collector: Collector;
  let sink: Collector;
  let service: ServiceProcess;
  let token: string;
  let spans: ReceivedSpan[];
  let logged: Record<string, unknown>[];
  const read = callersTrace();
  const refused = callersTrace();
  const unsampled = callersTrace('00');
  const placed = Array.from({ length: 20 }, () => callersTrace());
  let problems: Answer[];
  let exitCode: number | null;

  /** Everything happens here, because the spans are complete once the process is over. */
  beforeAll(async () => {
    [collector, sink] = await Promise.all([startCollector(), startCollector()]);
    service = start({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_SERVICE_NAME: 'ordo-under-test',
      OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=abc',
      AUDIT_CHECKPOINT_SINK: `${sink.url}/checkpoint`,
      WORKERS: '2',
      METRICS_PORT: String(await freePort()),
    });
    const url = await service.listening();
    token = await tokenOf(url, ADMIN);
    const order = { currency: 'EUR', lines, note: 'canary note' };
    const body = JSON.stringify(order);
    await send(url, 'GET', '/v1/orders?reference=canary-reference', { token, headers: read.headers });
    await send(url, 'POST', '/v1/users', {
      token,
      body: JSON.stringify({ name: 'Canary Ada', email: 'canary.ada@example.com' }),
    });
    const answers = await Promise.all(
      placed.map(({ headers }) => send(url, 'POST', '/v1/orders', { token, body, headers })),
    );
    expect(answers.map(({ status }) => status)).toEqual(placed.map(() => 201));
    problems = [
      await send(url, 'GET', '/canary.ada@example.com', { token, headers: refused.headers }),
      await send(url, 'GET', '/v1/orders/canary.ada@example.com', { token, headers: unsampled.headers }),
      await send(url, 'POST', '/v1/orders/batch', {
        token,
        headers: { ...refused.headers, 'Idempotency-Key': '' },
        body: JSON.stringify({ items: [{ idempotencyKey: 'a', order: { ...order, currency: 'canary' } }] }),
      }),
    ].map((answer) => answer.body);
    await eventually(async () => expect(sink.received.map(({ method }) => method)).toContain('PUT'));
    exitCode = await stop(service);
    spans = collector.spans();
    logged = service.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  });
  afterAll(() => {
    collector.close();
    sink.close();
  });

  const inTrace = ({ traceId }: { traceId: string }) => spans.filter((span) => span.traceId === traceId);

  it('goes on with the trace of the caller, down to the queries', () => {
    const [server, ...more] = inTrace(read).filter(({ kind }) => kind === SERVER);
    expect(more).toEqual([]);
    expect(server).toMatchObject({ name: 'GET /v1/orders', parentSpanId: read.spanId });
    expect(valuesOf(server!)).toEqual({
      'http.request.method': 'GET',
      'http.route': '/v1/orders',
      'http.response.status_code': 200,
      'code.function.name': 'OrdersController.list',
      'ordo.request_id': expect.any(String),
    });
    const queries = inTrace(read).filter(({ kind }) => kind === CLIENT);
    expect(queries.length).toBeGreaterThan(0);
    for (const query of queries) {
      expect(query.parentSpanId).toBe(server!.spanId);
      expect(valuesOf(query)).toMatchObject({
        'db.system.name': 'postgresql',
        'db.query.text': expect.stringContaining('$1'),
      });
    }
  });

  it('links each batch with the requests that share it, and they with it', () => {
    const requests = placed.map((trace) => inTrace(trace).find(({ kind }) => kind === SERVER)!);
    expect(requests.map(({ name }) => name)).toEqual(placed.map(() => 'POST /v1/orders'));
    const batches = spans.filter(({ name }) => name === 'place orders');
    const linked = batches.flatMap(({ links = [] }) => links.map(({ spanId }) => spanId));
    expect(linked.sort()).toEqual(requests.map(({ spanId }) => spanId).sort());
    expect(batches.length).toBeLessThan(20);
    for (const batch of batches) {
      const sharers = requests.filter(({ links = [] }) =>
        links.some(({ spanId }) => spanId === batch.spanId),
      );
      expect(sharers.map(({ spanId }) => spanId).sort()).toEqual(
        batch.links!.map(({ spanId }) => spanId).sort(),
      );
      expect(sharers.map(({ spanId }) => spanId)).toContain(batch.parentSpanId);
      const queries = spans.filter(({ parentSpanId }) => parentSpanId === batch.spanId);
      expect(queries.map(({ name }) => name)).toEqual(['place orders directly']);
    }
  });

  it('tells the id of the trace in problems and in the log', () => {
    expect(problems.map((problem) => problem.traceId ?? problem.data?.[0]?.body.traceId)).toEqual([
      refused.traceId,
      unsampled.traceId,
      refused.traceId,
    ]);
    expect(logged.filter(({ traceId }) => traceId === refused.traceId)).toEqual([
      expect.objectContaining({ msg: 'request', route: 'unmatched', status: 404 }),
      expect.objectContaining({ msg: 'request', route: '/v1/orders/batch', status: 207 }),
    ]);
    expect(inTrace(refused).map(({ name }) => name)).toContain('GET');
  });

  it('records nothing of a trace that its caller does not', () => {
    expect(logged.map(({ traceId }) => traceId)).toContain(unsampled.traceId);
    expect(inTrace(unsampled)).toEqual([]);
  });

  it('sends the trace along with a checkpoint', () => {
    const puts = sink.received.filter(({ method }) => method === 'PUT');
    for (const { headers } of puts) {
      const [, traceId, spanId] = /^00-(\w{32})-(\w{16})-01$/.exec(String(headers.traceparent)) ?? [];
      expect(spans.filter((span) => span.spanId === spanId)).toEqual([
        expect.objectContaining({ name: 'PUT checkpoint', kind: CLIENT, traceId }),
      ]);
    }
  });

  it('sends the spans of every worker, the last ones before it ends, as the standard variables say', () => {
    expect(exitCode).toBe(0);
    const resources = collector.resources();
    expect(new Set(resources.map((resource) => resource['service.name']))).toEqual(
      new Set(['ordo-under-test']),
    );
    const served = logged.filter(({ traceId }) => traceId !== undefined && traceId !== unsampled.traceId);
    // Connections are spread over both, unless twenty times the same one is taken.
    expect(new Set(resources.map((resource) => resource['process.pid']))).toEqual(
      new Set(served.map(({ pid }) => pid)),
    );
    for (const { path, headers } of collector.received) {
      expect([path, headers['x-collector-key']]).toEqual(['/v1/traces', 'abc']);
    }
  });

  it('tells nothing personal and no secret', () => {
    const bytes = collector.received.map(({ body }) => body.toLowerCase()).join('\n');
    expect(bytes).toContain('insert into orders');
    for (const secret of [
      'canary',
      token,
      token.slice(-20),
      '127.0.0.1',
      new URL(database.serviceUrl).password,
    ]) {
      expect(bytes).not.toContain(secret.toLowerCase());
    }
  });

  it('has loaded the packages for it', () => {
    expect(packagesOf(service)).toContain('@opentelemetry/sdk-trace');
  });
});

it('serves and ends in time while the collector is away or does not answer', async () => {
  const silent = await startCollector(false);
  const endure = async (endpoint: string) => {
    const service = start({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
    const url = await service.listening();
    const token = await tokenOf(url, ADMIN);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => send(url, 'GET', '/v1/orders', { token })),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const told = performance.now();
    expect(await stop(service)).toBe(0);
    // Two seconds for the spans; the exporter itself would try for ten.
    expect(performance.now() - told).toBeLessThan(7_000);
    expect(service.lines.filter((line) => /"level":[56]0/.test(line))).toEqual([]);
  };
  await Promise.all([endure(silent.url), endure(`http://127.0.0.1:${await freePort()}`)]);
  expect(silent.received.length).toBeGreaterThan(0);
  silent.close();
});

it('without a collector loads nothing of it, and tells of no trace', async () => {
  const service = start({});
  const url = await service.listening();
  const { body } = await send(url, 'GET', '/nowhere', { headers: callersTrace().headers });
  expect(await stop(service)).toBe(0);
  // The interfaces alone, which prom-client brings along.
  expect(packagesOf(service)).toEqual(['@opentelemetry/api']);
  expect(body).not.toHaveProperty('traceId');
  expect(service.lines.join('\n')).not.toContain('traceId');
});
