import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import {
  countAddedRows,
  type Environment,
  IMPORT_SCOPES,
  importedOrder,
  ImportFiles,
  type RowCounts,
  SAMPLE,
  startImport,
  summary,
} from '../support/import.js';
import { createKey, createPerson } from '../support/people.js';
import { createUser } from '../support/samples.js';
import { startService, type TestService } from '../support/service.js';

// An import through a proxy, on which all may happen that happens on the way to a service.

const BATCH = 'POST /v1/orders/batch';

interface Item {
  readonly idempotencyKey: string;
  readonly order: { readonly reference?: string; readonly lines: readonly unknown[] };
}
interface ItemAnswer {
  status: number;
  body: object;
}
interface Call {
  /** As `POST /v1/orders`. */
  readonly name: string;
  readonly body: string;
  /** The items of a batch. */
  readonly items: readonly Item[];
  readonly authorization: string;
  readonly response: ServerResponse;
  /** Has the service answer the request. */
  forward(): Promise<Answered>;
}
interface Answered {
  /** How many orders the request has placed, in a batch. */
  readonly placed: number;
  /** Answers what the service has, or what `change` makes of each item. */
  pass(change?: (answer: ItemAnswer, item: Item | undefined) => ItemAnswer): void;
}

let files: ImportFiles;
let service: TestService;
let key: string;
let domain: string;
let rows: () => Promise<RowCounts>;
let proxy: Server;
let proxyUrl: string;
let calls: Call[];
let handle: (call: Call) => Promise<void>;

beforeAll(async () => {
  [files, service] = await Promise.all([ImportFiles.create(), startService()]);
  key = await createKey(service, IMPORT_SCOPES);
  proxy = createServer((request, response) => {
    receive(request, response).catch(() => response.destroy());
  });
  proxyUrl = await listen(proxy);
});
beforeEach(async () => {
  domain = `${randomUUID()}.example.com`;
  rows = await countAddedRows(service);
  calls = [];
  handle = passOn;
});
afterAll(async () => {
  proxy.closeAllConnections();
  proxy.close();
  await service.stop();
  await files.remove();
});

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await text(request);
  const name = `${request.method} ${request.url}`;
  const items = name === BATCH ? (JSON.parse(body) as { items: Item[] }).items : [];
  const { authorization = '' } = request.headers;
  const forward = () => forwardTo(service.url, { request, body, items, response });
  const call: Call = { name, body, items, authorization, response, forward };
  calls.push(call);
  await handle(call);
}

async function forwardTo(
  base: string,
  {
    request,
    body,
    items,
    response,
  }: Pick<Call, 'body' | 'items' | 'response'> & { request: IncomingMessage },
): Promise<Answered> {
  const headers = ['authorization', 'content-type', 'idempotency-key'].flatMap((name): [string, string][] => {
    const value = request.headers[name];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  const { method = '' } = request;
  const answer = await fetch(`${base}${request.url}`, { method, headers, body: body === '' ? null : body });
  const content = await answer.text();
  const replayed = answer.headers.get('idempotency-replayed');
  const data = answer.status === 207 ? (JSON.parse(content) as { data: ItemAnswer[] }).data : [];
  return {
    placed: data.filter(({ status }) => status === 201).length,
    pass(change) {
      const changed = change && { data: data.map((item, index) => change(item, items[index])) };
      // The waits between attempts are not what is tested.
      response.writeHead(answer.status, {
        ...(replayed !== null && { 'Idempotency-Replayed': replayed }),
        ...(changed && { 'Retry-After': '0' }),
      });
      response.end(changed === undefined ? content : JSON.stringify(changed));
    },
  };
}

async function passOn({ forward }: Call): Promise<void> {
  (await forward()).pass();
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answerPatience({ response }: Pick<Call, 'response'>, status: number, code: string): void {
  response.writeHead(status, { 'Retry-After': '0' }).end(JSON.stringify({ code, detail: 'Away.' }));
}

const order = (number: number, members: object = {}) => importedOrder(domain, number, members);
const orders = (count: number) => Array.from({ length: count }, (_, index) => order(index + 1));
const named = (name: string) => calls.filter((call) => call.name === name);
const runVia = (parameters: string[], environment: Environment = { ORDO_API_KEY: key }) =>
  startImport([...parameters, '--url', proxyUrl], environment).done;
const importVia = async (lines: readonly object[], ...options: string[]) =>
  runVia([await files.writeLines(lines), ...options]);
/** So that all orders are placed at the first attempt. */
const createCustomers = () =>
  Promise.all([0, 1, 2].map((number) => createUser(service, { email: `customer${number}@${domain}` })));

it('sends as many orders at once as a request and a transaction take', async () => {
  await createCustomers();
  const line = { sku: 'A', name: 'A', quantity: 1, unitPrice: 1 };
  const long = { lines: Array.from({ length: 200 }, () => line) };
  const metadata = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`m${at}`, 'Ä'.repeat(500)]));
  const given = orders(160).map((each, at) => {
    if (at < 130) return each;
    return order(at + 1, at < 138 ? long : { metadata, lines: [line] });
  });
  const { output } = await importVia(given, '--concurrency', '1');
  expect(output).toBe(summary({ placed: 160 }));
  // 100 items; with four more long ones the lines come to 830, with five to 1,030; then 18 of 51 KB make 1 MB.
  expect(named(BATCH).map(({ items }) => items.length)).toEqual([100, 34, 22, 4]);
  for (const { body } of calls) expect(Buffer.byteLength(body)).toBeLessThanOrEqual(1_000_000);
});

it('places every order once when it is killed in the middle and run again', async () => {
  const file = await files.writeLines(orders(450));
  let placed = 0;
  handle = async (call) => {
    const answered = await call.forward();
    placed += answered.placed;
    if (placed >= 150) run.child.kill('SIGKILL');
    answered.pass();
  };
  const run = startImport([file, '--url', proxyUrl, '--concurrency', '1'], { ORDO_API_KEY: key });
  expect(await run.done).toMatchObject({ code: null, output: '' });
  expect(run.child.signalCode).toBe('SIGKILL');
  expect(await rows()).toMatchObject({ orders: 200 });

  handle = passOn;
  const { code, output } = await runVia([file]);
  expect({ code, output }).toEqual({ code: 0, output: summary({ placed: 250, replayed: 200 }) });
  expect(await rows()).toEqual({ users: 3, orders: 450, lines: 450, events: 453 });
});

it('asks again when an answer is lost or patience is asked for, and looks each customer up once', async () => {
  const turns = new Map<string, number>();
  handle = async (call) => {
    if (call.name.startsWith('GET')) return passOn(call);
    const turn = (turns.get(call.body) ?? 0) + 1;
    turns.set(call.body, turn);
    if (turn === 1) {
      await call.forward();
      call.response.destroy();
    } else if (turn === 2) answerPatience(call, 503, 'unavailable');
    else if (turn === 3) answerPatience(call, 429, 'rate-limited');
    else if (turn === 4) answerPatience(call, 409, 'idempotency-in-progress');
    else await passOn(call);
  };
  expect(await importVia(orders(20))).toEqual({
    code: 0,
    output: summary({ replayed: 20, users: 3 }),
    errors: [],
  });
  expect(await rows()).toEqual({ users: 3, orders: 20, lines: 20, events: 23 });
  expect(calls.filter(({ name }) => name.startsWith('GET /v1/users?email='))).toHaveLength(3);
});

it('sends again those orders of a batch that ask for patience, and no others', async () => {
  await createCustomers();
  const patience = new Map<string, [number, string]>([
    ['R-2', [503, 'unavailable']],
    ['R-3', [409, 'idempotency-in-progress']],
    ['R-5', [429, 'rate-limited']],
  ]);
  handle = async (call) => {
    if (call.name !== BATCH) return passOn(call);
    const answered = await call.forward();
    const turn = named(BATCH).length;
    answered.pass((answer, item) => {
      const [status, code] = patience.get(item?.order.reference ?? '') ?? [];
      // R-5 for ever.
      if (status === undefined || (turn > 1 && status !== 429)) return answer;
      return { status, body: { code, detail: 'Away.' } };
    });
  };
  const { code, output, errors } = await importVia(orders(6));
  expect({ code, output, errors }).toEqual({
    code: 1,
    output: summary({ placed: 3, replayed: 2, failed: 1 }),
    errors: ['line 5 (R-5): rate-limited: Away.'],
  });
  expect(named(BATCH).map(({ items }) => items.map((item) => item.order.reference).join())).toEqual([
    'R-1,R-2,R-3,R-4,R-5,R-6',
    'R-2,R-3,R-5',
    ...Array.from({ length: 4 }, () => 'R-5'),
  ]);
  const keys = (at: number) => named(BATCH)[at]?.items.map((item) => item.idempotencyKey);
  expect(keys(1)).toEqual([1, 2, 4].map((at) => keys(0)?.[at]));
  expect(await rows()).toMatchObject({ orders: 6 });
});

it('waits as long as Retry-After says', async () => {
  await createCustomers();
  const times: number[] = [];
  handle = async (call) => {
    if (call.name === BATCH && times.push(performance.now()) === 1) {
      call.response.writeHead(429, { 'Retry-After': '1' }).end();
    } else await passOn(call);
  };
  await importVia(orders(2));
  const [refused = 0, again = 0] = times;
  expect(again - refused).toBeGreaterThanOrEqual(990);
  expect(await rows()).toMatchObject({ orders: 2 });
});

it('gives up on orders after a bounded number of attempts', async () => {
  handle = async (call) => {
    if (call.name === BATCH) answerPatience(call, 503, 'unavailable');
    else await passOn(call);
  };
  const { code, output, errors } = await importVia(orders(2));
  expect(code).toBe(1);
  expect(errors).toEqual(['line 1 (R-1): unavailable: Away.', 'line 2 (R-2): unavailable: Away.']);
  expect(output).toBe(summary({ failed: 2 }));
  expect(named(BATCH)).toHaveLength(6);
});

it('fails the orders of which an answer says nothing', async () => {
  await createCustomers();
  handle = async (call) => {
    if (call.name === BATCH) call.response.writeHead(207).end('{"data": [{"status": 422}, null]}');
    else await passOn(call);
  };
  const { errors } = await importVia(orders(3));
  expect(errors).toEqual([
    'line 1 (R-1): unexpected answer 422',
    'line 2 (R-2): unexpected answer 207',
    'line 3 (R-3): unexpected answer 207',
  ]);
});

it('keeps as many requests under way as it is told', async () => {
  let underWay = 0;
  let most = 0;
  handle = async (call) => {
    underWay += 1;
    most = Math.max(most, underWay);
    const answered = await call.forward();
    underWay -= 1;
    answered.pass();
  };
  const customer = (number: number) => ({ email: `own${number}@${domain}`, name: 'Own' });
  const given = orders(24).map((_, at) => order(at + 1, { customer: customer(at) }));
  const { output } = await importVia(given, '--concurrency', '4');
  expect(output).toBe(summary({ placed: 24, users: 24 }));
  expect(most).toBe(4);
});

it('finds the user whom somebody else creates at the same moment', async () => {
  handle = async (call) => {
    if (call.name === 'POST /v1/users') await createUser(service, { email: `CUSTOMER1@${domain}` });
    await passOn(call);
  };
  const { output } = await importVia(orders(1));
  expect(output).toBe(summary({ placed: 1 }));
  expect(await rows()).toMatchObject({ users: 1, orders: 1 });
});

it('says why it is refused, asks once and places nothing', async () => {
  const [reader, customer] = await Promise.all([createKey(service, ['orders:read']), createPerson(service)]);
  const mistyped = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`;
  const scopes = IMPORT_SCOPES.join(', ');
  const advice = `access tokens live ten minutes; an API key with the scopes ${scopes} suits imports`;
  const cases: [Environment, string][] = [
    [{ ORDO_API_KEY: mistyped }, 'API key: it is mistyped, expired or revoked'],
    [{ ORDO_API_KEY: reader }, `API key: it needs the scopes ${scopes}`],
    [{ ORDO_TOKEN: 'a.b.c' }, `access token: it is mistyped, or its session is over (${advice})`],
    [
      { ORDO_TOKEN: customer.accessToken },
      `access token: importing takes an admin, or an API key with the scopes ${scopes}`,
    ],
  ];
  const runs = cases.map(([environment]) => runVia([SAMPLE], environment));
  expect(await Promise.all(runs)).toEqual(
    cases.map(([, why]) => ({ code: 1, output: '', errors: [`${proxyUrl} refuses the ${why}`] })),
  );
  expect(calls.map(({ name }) => name)).toEqual(cases.map(() => 'GET /v1/users?limit=1'));
  expect(await rows()).toMatchObject({ orders: 0 });
});

it('ends when its key is revoked in the middle, says what was done, and goes on with another key', async () => {
  const doomed = await createKey(service, IMPORT_SCOPES);
  const [, id] = doomed.split('_');
  let isRevoked = false;
  handle = async (call) => {
    const answered = await call.forward();
    if (answered.placed > 0 && !isRevoked) {
      isRevoked = true;
      await service.send('delete', `/v1/api-keys/${id}`).expect(204);
    }
    answered.pass();
  };
  const file = await files.writeLines(orders(450));
  const { code, output, errors } = await runVia([file, '--concurrency', '2'], { ORDO_API_KEY: doomed });
  expect(code).toBe(1);
  expect(errors).toEqual([
    `${proxyUrl} refuses the API key: it is mistyped, expired or revoked; run the import again to go on: ` +
      'nothing is placed twice; orders without a reference are known to the same key or user alone',
  ]);
  const { orders: placed } = await rows();
  expect(placed).toBeLessThan(450);
  expect(output).toBe(summary({ placed, users: 3 }));
  // Each of the two at once asks once more at most, and tries no other orders.
  const sentAfter = named(BATCH).slice(named(BATCH).findIndex(({ response }) => response.statusCode === 401));
  expect(sentAfter.length).toBeLessThanOrEqual(2);

  handle = passOn;
  const again = await runVia([file]);
  expect(again.output).toBe(summary({ placed: 450 - placed, skipped: placed }));
  expect(await rows()).toMatchObject({ users: 3, orders: 450 });
});

it('names the scopes when the key may not place orders', async () => {
  const environment = { ORDO_API_KEY: await createKey(service, ['users:read', 'users:write']) };
  const { code, output, errors } = await runVia([await files.writeLines(orders(3))], environment);
  expect(code).toBe(1);
  expect(errors).toEqual([
    expect.stringContaining(`API key: it needs the scopes ${IMPORT_SCOPES.join(', ')}; `),
  ]);
  expect(output).toBe(summary({}));
});

it('ends at once when its token expires, also while it waits to try again', async () => {
  await createCustomers();
  const waiting = Promise.withResolvers<void>();
  handle = async (call) => {
    if (call.name !== BATCH) return passOn(call);
    if (named(BATCH).length === 1) {
      call.response.writeHead(429, { 'Retry-After': '60' }).end(waiting.resolve);
      return;
    }
    await waiting.promise;
    call.response.writeHead(401).end(JSON.stringify({ code: 'token-expired', detail: 'Too late.' }));
  };
  const begun = performance.now();
  const { code, output, errors } = await runVia(
    [await files.writeLines(orders(250)), '--concurrency', '2', '--token', service.adminToken],
    {},
  );
  expect(performance.now() - begun).toBeLessThan(20_000);
  expect(code).toBe(1);
  expect(errors).toEqual([
    expect.stringMatching(
      /the access token: it has expired \(access tokens live ten minutes; an API key with /,
    ),
  ]);
  expect(output).toBe(summary({}));
  expect(named(BATCH)).toHaveLength(2);
});

it('does not repeat the key where an answer quotes it', async () => {
  await createCustomers();
  handle = async (call) => {
    if (!call.name.startsWith('POST /v1/orders')) return passOn(call);
    const body = { code: 'unexpected', detail: `${call.authorization} is odd` };
    if (call.name === BATCH) call.response.writeHead(207);
    else call.response.writeHead(400);
    call.response.end(JSON.stringify({ ...body, data: call.items.map(() => ({ status: 400, body })) }));
  };
  for (const count of [1, 2]) {
    const { errors } = await importVia(orders(count));
    expect(errors[0]).toBe('line 1 (R-1): unexpected: Bearer *** is odd');
  }
});

it('does not follow to another host', async () => {
  const visits: string[] = [];
  const elsewhere = createServer((request, response) => {
    visits.push(String(request.url));
    response.end('{}');
  });
  const location = `${await listen(elsewhere)}/v1/users`;
  handle = async ({ response }) => void response.writeHead(307, { Location: location }).end();
  const { code, errors } = await runVia([SAMPLE]);
  elsewhere.close();
  expect({ code, errors, visits }).toEqual({
    code: 1,
    errors: [`${proxyUrl}: unexpected answer 307`],
    visits: [],
  });
});
