import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readArguments, travelsInClear } from '../src/cli/import/arguments.js';
import { createKey, createPerson } from './support/people.js';
import { startService, type TestService } from './support/service.js';

const COMMAND = fileURLToPath(new URL('../dist/src/cli/import.js', import.meta.url));
const SAMPLE = fileURLToPath(new URL('../examples/orders.ndjson', import.meta.url));
const NORTHWIND = fileURLToPath(new URL('../../shared/data/northwind-orders.ndjson', import.meta.url));

const SCOPES = ['orders:write', 'users:read', 'users:write'];

type Environment = Record<string, string>;

interface Run {
  readonly child: ChildProcess;
  readonly done: Promise<{ code: number | null; output: string; errors: string[] }>;
}

let folder: string;
/** Customers have addresses of their own in each test, so that all can share one service. */
let domain: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ordo-import-'));
});
beforeEach(() => {
  domain = `${crypto.randomUUID()}.example.com`;
});
afterAll(() => rm(folder, { recursive: true }));

/** Starts the command, which must never say what is in its environment or behind `--token`. */
function startImport(parameters: string[], environment: Environment): Run {
  const child = spawn(process.execPath, [COMMAND, ...parameters], {
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const done = Promise.all([end, text(child.stdout), text(child.stderr)]).then(([code, output, errors]) => {
    const secrets = [
      ...Object.values(environment),
      ...parameters.filter((_, at) => parameters[at - 1] === '--token'),
    ];
    for (const secret of secrets) expect(output + errors).not.toContain(secret);
    return { code, output: output.trim(), errors: errors.split('\n').filter((line) => line !== '') };
  });
  return { child, done };
}

async function writeLines(lines: readonly (object | string | Buffer)[], end = '\n'): Promise<string> {
  const file = join(folder, `${crypto.randomUUID()}.ndjson`);
  const bytes = lines.map((line) =>
    Buffer.isBuffer(line) ? line : Buffer.from(typeof line === 'string' ? line : JSON.stringify(line)),
  );
  await writeFile(file, Buffer.concat(bytes.flatMap((line) => [line, Buffer.from(end)])));
  return file;
}

function order(number: number, members: object = {}): object {
  return {
    reference: `R-${number}`,
    placedAt: '2026-01-01T00:00:00.000Z',
    customer: { email: `customer${number % 3}@${domain}`, name: 'Somebody Secret' },
    currency: 'EUR',
    lines: [{ sku: 'TEA', name: 'Tea', quantity: number, unitPrice: 100 }],
    ...members,
  };
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function forwardTo(base: string, request: IncomingMessage, response: ServerResponse) {
  const headers = ['authorization', 'content-type', 'idempotency-key'].flatMap((name): [string, string][] => {
    const value = request.headers[name];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  const body = request.method === 'POST' ? await text(request) : null;
  const answer = await fetch(`${base}${request.url}`, { method: request.method ?? '', headers, body });
  const replayed = answer.headers.get('idempotency-replayed');
  const content = await answer.text();
  return () =>
    void response
      .writeHead(answer.status, replayed === null ? {} : { 'Idempotency-Replayed': replayed })
      .end(content);
}

interface Counts {
  users: number;
  orders: number;
  lines: number;
  events: number;
}

const orders = (count: number) => Array.from({ length: count }, (_, index) => order(index + 1));

describe('an import', () => {
  let service: TestService;
  let key: string;
  let countsBefore: Counts;
  beforeAll(async () => {
    service = await startService();
    key = await createKey(service, SCOPES);
  });
  beforeEach(async () => {
    countsBefore = await count();
  });
  afterAll(() => service.stop());

  const runImport = (parameters: string[], environment: Environment = { ORDO_API_KEY: key }) =>
    startImport(parameters, environment).done;
  const importInto = (file: string, ...options: string[]) =>
    runImport([file, '--url', service.url, ...options]);
  async function count(): Promise<Counts> {
    const [counts] = await service.database.query<Counts>(
      `SELECT (SELECT count(*)::int FROM users) AS users, (SELECT count(*)::int FROM orders) AS orders,
              (SELECT count(*)::int FROM order_lines) AS lines, (SELECT count(*)::int FROM audit_events) AS events`,
    );
    return counts!;
  }
  /** What was added since the test began. */
  const rows = async () => {
    const now = await count();
    const names = ['users', 'orders', 'lines', 'events'] as const;
    return Object.fromEntries(names.map((name) => [name, now[name] - countsBefore[name]]));
  };

  it('places the sample with what it says, and changes nothing when it is run again', async () => {
    const first = await importInto(SAMPLE);
    expect(first).toEqual({
      code: 0,
      output: 'Orders: 6 placed, 0 replayed, 0 skipped, 0 failed. Users created: 3.',
      errors: [],
    });
    const before = await rows();
    expect(before).toEqual({ users: 3, orders: 6, lines: 10, events: 9 });
    const [placed] = await service.database.query(
      `SELECT email, orders.currency, orders.shipping::int, note, metadata, placed_at AS "placedAt",
              orders.subtotal::int
         FROM orders JOIN users ON users.id = user_id WHERE reference = 'SHOP-1003'`,
    );
    expect(placed).toEqual({
      email: 'ada@example.com',
      currency: 'EUR',
      shipping: 490,
      note: 'Leave at the side door',
      metadata: { channel: 'web', campaign: 'winter' },
      placedAt: new Date('2026-01-15T11:02:10.000Z'),
      subtotal: 3_245,
    });

    const second = await importInto(SAMPLE);
    expect(second).toMatchObject({ code: 0, errors: [] });
    expect(second.output).toBe('Orders: 0 placed, 6 replayed, 0 skipped, 0 failed. Users created: 0.');
    expect(await rows()).toEqual(before);

    // Somebody else, to whom the service does not replay: known by reference, as after the key is forgotten.
    const parameters = [SAMPLE, '--url', service.url, '--token', service.adminToken];
    const third = await runImport(parameters, { ORDO_API_KEY: 'not-looked-at' });
    expect(third).toMatchObject({ code: 0, errors: [] });
    expect(third.output).toBe('Orders: 0 placed, 0 replayed, 6 skipped, 0 failed. Users created: 0.');
    expect(await rows()).toEqual(before);
  });

  it('names each bad line by its number, quotes no personal data, and places the others', async () => {
    const noEmail = order(9, { customer: { name: 'Somebody Secret' } });
    const badEmail = order(10, { customer: { email: 'secret at example.com', name: '' } });
    const badLines = order(11, {
      currency: 'XYZ',
      lines: [{ sku: 'A', name: 'A', quantity: 0, unitPrice: 1 }],
    });
    const file = await writeLines([
      order(1),
      '{"customer": {"email": "secret@example.com"',
      '',
      Buffer.concat([Buffer.from('{"reference": "'), Buffer.from([0xff]), Buffer.from('"}')]),
      '   ',
      '[]',
      noEmail,
      badEmail,
      badLines,
      order(12, { lines: 'none' }),
      order(13, { reference: 'R-\u001b[31m', note: 5 }),
      order(14),
      order(15, { customer: { email: '' } }),
    ]);
    const { code, output, errors } = await importInto(file, '--concurrency', '1');
    expect(errors).toEqual([
      'line 2: not valid JSON',
      'line 4: not valid UTF-8',
      'line 6: not a JSON object',
      'line 7: /customer/email: must be a string',
      expect.stringMatching(/^line 8 \(R-10\): validation-failed: .*\/customer\/name: .*\/customer\/email: /),
      expect.stringMatching(/^line 9 \(R-11\): validation-failed: .*\/currency: .*\/lines\/0\/quantity: /),
      expect.stringMatching(/^line 10 \(R-12\): validation-failed: .*\/lines: /),
      expect.stringMatching(/^line 11 \(R- \[31m\): validation-failed: \/note: /),
      expect.stringMatching(/^line 13 \(R-15\): invalid-parameter: \/customer\/email: /),
    ]);
    expect(errors.join()).not.toMatch(/secret/i);
    expect(code).toBe(1);
    expect(output).toBe('Orders: 2 placed, 0 replayed, 0 skipped, 9 failed. Users created: 3.');
    expect(await rows()).toMatchObject({ users: 3, orders: 2 });
  });

  it('takes CRLF, a byte order mark and a last line without its end', async () => {
    const file = join(folder, 'crlf.ndjson');
    await writeFile(file, `\uFEFF${JSON.stringify(order(1))}\r\n\r\n${JSON.stringify(order(2))}`);
    expect(await importInto(file)).toMatchObject({ code: 0, output: expect.stringContaining('2 placed') });
  });

  it('takes an order longer than a chunk of the file, and refuses a line without end', async () => {
    const lines = Array.from({ length: 200 }, () => ({
      sku: 'A',
      name: 'Ä'.repeat(200),
      quantity: 1,
      unitPrice: 1,
    }));
    const file = await writeLines([order(1, { lines }), 'x'.repeat(8_000_001), order(2, { lines })]);
    const { code, output, errors } = await importInto(file);
    expect(errors).toEqual(['line 2: longer than 8000000 bytes']);
    expect(code).toBe(1);
    expect(output).toContain('2 placed');
    expect(await rows()).toMatchObject({ lines: 400 });
  });

  it('knows a customer whose e-mail address is in another case, in the file and in the service', async () => {
    await service
      .send('post', '/v1/users')
      .send({ name: 'Ada', email: `Ada@${domain}` })
      .expect(201);
    const file = await writeLines([
      order(1, { customer: { email: `ADA@${domain}`, name: 'Ada' } }),
      order(2, { customer: { email: `ada@${domain.toUpperCase()}`, name: 'Ada' } }),
      order(3, { customer: { email: `New@${domain}`, name: 'New' } }),
      order(4, { customer: { email: `nEW@${domain}`, name: 'New' } }),
    ]);
    const { output } = await importInto(file);
    expect(output).toBe('Orders: 4 placed, 0 replayed, 0 skipped, 0 failed. Users created: 1.');
    expect(await rows()).toMatchObject({ users: 2, orders: 4 });

    const again = await importInto(
      await writeLines([order(1, { customer: { email: `ada@${domain}`, name: 'Ada' } })]),
    );
    expect(again.output).toContain('0 placed, 1 replayed');
  });

  it('fails a line whose order was imported before with other content', async () => {
    await importInto(await writeLines([order(1), order(2)]));
    const { code, output, errors } = await importInto(
      await writeLines([order(1), order(2, { note: 'new' })]),
    );
    expect(errors).toEqual(['line 2 (R-2): imported before with other content (idempotency-key-reused)']);
    expect(code).toBe(1);
    expect(output).toContain('0 placed, 1 replayed, 0 skipped, 1 failed');
  });

  it('knows an order without a reference by its content, and an exported one by what it sends', async () => {
    const nameless = order(1, { reference: undefined, shipping: 0, metadata: { b: '1', a: '2' } });
    const changed = order(1, { reference: null, metadata: { b: '1', a: '3' } });
    const first = await importInto(await writeLines([nameless, changed, order(5)]));
    expect(first.output).toContain('3 placed');
    const exported = { note: null, status: 'placed', total: 500, shipping: 0, metadata: {} };
    const line = {
      position: 1,
      sku: 'TEA',
      name: 'Tea',
      quantity: 5,
      unitPrice: 100,
      discountPpm: 0,
      total: 500,
    };
    const again = await importInto(
      await writeLines([
        order(1, { reference: null, metadata: { a: '2', b: '1' } }),
        order(5, { id: 'x', ...exported, lines: [line] }),
      ]),
    );
    expect(again).toMatchObject({ code: 0, errors: [] });
    expect(again.output).toContain('0 placed, 2 replayed');
  });

  describe('behind a proxy', () => {
    interface Call {
      /** As `POST /v1/orders`. */
      readonly name: string;
      readonly key: string;
      readonly authorization: string;
      readonly response: ServerResponse;
      /** Has the service answer the request, and returns what passes its answer on. */
      forward(): Promise<() => void>;
    }
    let handle: (call: Call) => Promise<void>;
    let calls: string[];
    let proxy: Server;
    let proxyUrl: string;
    beforeAll(async () => {
      proxy = createServer((request, response) => {
        const name = `${request.method} ${request.url}`;
        const { authorization = '' } = request.headers;
        const key = String(request.headers['idempotency-key']);
        const forward = () => forwardTo(service.url, request, response);
        calls.push(name);
        handle({ name, key, authorization, response, forward }).catch(() => response.destroy());
      });
      proxyUrl = await listen(proxy);
    });
    beforeEach(() => {
      calls = [];
      handle = passOn;
    });
    afterAll(() => {
      proxy.closeAllConnections();
      proxy.close();
    });

    const importVia = (file: string, ...options: string[]) =>
      runImport([file, '--url', proxyUrl, ...options]);

    async function passOn({ forward }: Call): Promise<void> {
      const answer = await forward();
      answer();
    }

    it('places every order once when it is killed in the middle and run again', async () => {
      const file = await writeLines(orders(90));
      let answered = 0;
      handle = async (call) => {
        const answer = await call.forward();
        if (call.name === 'POST /v1/orders' && ++answered === 30) run.child.kill('SIGKILL');
        answer();
      };
      const run = startImport([file, '--url', proxyUrl], { ORDO_API_KEY: key });
      expect(await run.done).toMatchObject({ code: null, output: '' });
      expect(run.child.signalCode).toBe('SIGKILL');
      expect(await rows()).not.toMatchObject({ orders: 90 });

      const { code, output } = await importInto(file);
      expect(code).toBe(0);
      const [, placed, replayed] =
        /^Orders: (\d+) placed, (\d+) replayed, 0 skipped, 0 failed/.exec(output) ?? [];
      expect(Number(placed) + Number(replayed)).toBe(90);
      expect(Number(replayed)).toBeGreaterThanOrEqual(30);
      expect(await rows()).toEqual({ users: 3, orders: 90, lines: 90, events: 93 });
    });

    it('asks again when an answer is lost or patience is asked for, and looks each customer up once', async () => {
      const turns = new Map<string, number>();
      handle = async (call) => {
        if (call.name.startsWith('GET')) return passOn(call);
        const turn = (turns.get(call.key) ?? 0) + 1;
        turns.set(call.key, turn);
        const patience = (status: number, code: string) =>
          call.response.writeHead(status, { 'Retry-After': '0' }).end(JSON.stringify({ code, detail: '' }));
        if (turn === 1) {
          await call.forward();
          call.response.destroy();
        } else if (turn === 2) patience(503, 'unavailable');
        else if (turn === 3) patience(429, 'rate-limited');
        else if (turn === 4) patience(409, 'idempotency-in-progress');
        else await passOn(call);
      };
      expect(await importVia(await writeLines(orders(20)))).toEqual({
        code: 0,
        output: 'Orders: 0 placed, 20 replayed, 0 skipped, 0 failed. Users created: 3.',
        errors: [],
      });
      expect(await rows()).toEqual({ users: 3, orders: 20, lines: 20, events: 23 });
      expect(calls.filter((name) => name.startsWith('GET /v1/users?email='))).toHaveLength(3);
    });

    it('waits as long as Retry-After says', async () => {
      const times: number[] = [];
      handle = async (call) => {
        if (call.name === 'POST /v1/orders' && times.push(performance.now()) === 1) {
          call.response.writeHead(429, { 'Retry-After': '1' }).end();
        } else await passOn(call);
      };
      await importVia(await writeLines(orders(1)));
      const [refused = 0, again = 0] = times;
      expect(again - refused).toBeGreaterThanOrEqual(990);
      expect(await rows()).toMatchObject({ orders: 1 });
    });

    it('gives up on a line after a bounded number of attempts', async () => {
      handle = async (call) => {
        if (call.name === 'POST /v1/orders') {
          const problem = { code: 'unavailable', detail: 'Away.' };
          call.response.writeHead(503, { 'Retry-After': '0' }).end(JSON.stringify(problem));
        } else await passOn(call);
      };
      const { code, errors } = await importVia(await writeLines(orders(1)));
      expect(code).toBe(1);
      expect(errors).toEqual(['line 1 (R-1): unavailable: Away.']);
      expect(calls.filter((name) => name === 'POST /v1/orders')).toHaveLength(6);
    });

    it('keeps as many requests under way as it is told', async () => {
      let underWay = 0;
      let most = 0;
      handle = async (call) => {
        underWay += 1;
        most = Math.max(most, underWay);
        const answer = await call.forward();
        underWay -= 1;
        answer();
      };
      await importVia(await writeLines(orders(24)), '--concurrency', '4');
      expect(most).toBe(4);
    });

    it('finds the user whom somebody else creates at the same moment', async () => {
      handle = async (call) => {
        if (call.name === 'POST /v1/users') {
          await service.send('post', '/v1/users').send({ name: 'First', email: `CUSTOMER1@${domain}` });
        }
        await passOn(call);
      };
      const { output } = await importVia(await writeLines(orders(1)));
      expect(output).toBe('Orders: 1 placed, 0 replayed, 0 skipped, 0 failed. Users created: 0.');
      expect(await rows()).toMatchObject({ users: 1, orders: 1 });
    });

    it('says why it is refused, asks once and places nothing', async () => {
      const [reader, customer] = await Promise.all([
        createKey(service, ['orders:read']),
        createPerson(service),
      ]);
      const { orders: ordersBefore } = await rows();
      const mistyped = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`;
      const scopes = SCOPES.join(', ');
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
      const runs = cases.map(([environment]) => runImport([SAMPLE, '--url', proxyUrl], environment));
      expect(await Promise.all(runs)).toEqual(
        cases.map(([, why]) => ({ code: 1, output: '', errors: [`${proxyUrl} refuses the ${why}`] })),
      );
      expect(calls).toEqual(cases.map(() => 'GET /v1/users?limit=1'));
      expect(await rows()).toMatchObject({ orders: ordersBefore });
    });

    it('ends when its key is revoked in the middle, says what was done, and goes on with another key', async () => {
      const doomed = await createKey(service, SCOPES);
      const [, id] = doomed.split('_');
      let answered = 0;
      handle = async (call) => {
        const answer = await call.forward();
        if (call.name === 'POST /v1/orders' && ++answered === 10) {
          await service.send('delete', `/v1/api-keys/${id}`).expect(204);
        }
        answer();
      };
      const file = await writeLines(orders(60));
      const { code, output, errors } = await runImport([file, '--url', proxyUrl], { ORDO_API_KEY: doomed });
      expect(code).toBe(1);
      expect(errors).toEqual([
        `${proxyUrl} refuses the API key: it is mistyped, expired or revoked; run the import again to go on: ` +
          'nothing is placed twice; orders without a reference are known to the same key or user alone',
      ]);
      const { orders: placed = 0 } = await rows();
      expect(output).toBe(`Orders: ${placed} placed, 0 replayed, 0 skipped, 0 failed. Users created: 3.`);
      // Each of the eight at once is refused once at most, and tries no other line.
      expect(calls.filter((name) => name === 'POST /v1/orders').length).toBeLessThanOrEqual(placed + 8);

      const again = await importInto(file);
      expect(again.output).toBe(
        `Orders: ${60 - placed} placed, 0 replayed, ${placed} skipped, 0 failed. Users created: 0.`,
      );
      expect(await rows()).toMatchObject({ users: 3, orders: 60 });
    });

    it('names the scopes when the key may not place orders', async () => {
      const file = await writeLines(orders(3));
      const environment = { ORDO_API_KEY: await createKey(service, ['users:read', 'users:write']) };
      const { code, output, errors } = await runImport([file, '--url', proxyUrl], environment);
      expect(code).toBe(1);
      expect(errors).toEqual([
        expect.stringContaining(`API key: it needs the scopes ${SCOPES.join(', ')}; `),
      ]);
      expect(output).toMatch(/^Orders: 0 placed, 0 replayed, 0 skipped, 0 failed\. Users created: \d\.$/);
    });

    it('ends at once when its token expires, also while it waits to try again', async () => {
      const waiting = Promise.withResolvers<void>();
      handle = async (call) => {
        if (call.name !== 'POST /v1/orders') return passOn(call);
        if (calls.filter((name) => name === call.name).length === 1) {
          call.response.writeHead(429, { 'Retry-After': '60' }).end(waiting.resolve);
          return;
        }
        await waiting.promise;
        call.response.writeHead(401).end(JSON.stringify({ code: 'token-expired', detail: 'Too late.' }));
      };
      const begun = performance.now();
      const { code, output, errors } = await runImport(
        [await writeLines(orders(9)), '--url', proxyUrl, '--concurrency', '2', '--token', service.adminToken],
        {},
      );
      expect(performance.now() - begun).toBeLessThan(20_000);
      expect(code).toBe(1);
      expect(errors).toEqual([
        expect.stringMatching(
          /the access token: it has expired \(access tokens live ten minutes; an API key with /,
        ),
      ]);
      expect(output).toContain('Orders: 0 placed, 0 replayed, 0 skipped, 0 failed.');
      expect(calls.filter((name) => name === 'POST /v1/orders')).toHaveLength(2);
    });

    it('does not repeat the key where an answer quotes it', async () => {
      handle = async (call) => {
        if (call.name !== 'POST /v1/orders') return passOn(call);
        const problem = { code: 'unexpected', detail: `${call.authorization} is odd` };
        call.response.writeHead(400).end(JSON.stringify(problem));
      };
      const { errors } = await importVia(await writeLines(orders(1)));
      expect(errors).toEqual(['line 1 (R-1): unexpected: Bearer *** is odd']);
    });

    it('does not follow to another host', async () => {
      const visits: string[] = [];
      const elsewhere = createServer((request, response) => {
        visits.push(String(request.url));
        response.end('{}');
      });
      const location = `${await listen(elsewhere)}/v1/users`;
      handle = async ({ response }) => void response.writeHead(307, { Location: location }).end();
      const { code, errors } = await importVia(SAMPLE);
      elsewhere.close();
      expect({ code, errors, visits }).toEqual({
        code: 1,
        errors: [`${proxyUrl}: unexpected answer 307`],
        visits: [],
      });
    });
  });

  (existsSync(NORTHWIND) ? describe : describe.skip)('of Northwind', () => {
    it('adds up to what is known of it, and changes nothing when it is run again', async () => {
      expect(await importInto(NORTHWIND)).toEqual({
        code: 0,
        output: 'Orders: 830 placed, 0 replayed, 0 skipped, 0 failed. Users created: 89.',
        errors: [],
      });
      const before = await rows();
      expect(before).toEqual({ users: 89, orders: 830, lines: 2_155, events: 919 });
      const [sums] = await service.database.query(
        `SELECT sum(subtotal)::int AS subtotal, sum(subtotal - discount)::int AS net, sum(shipping)::int AS shipping
           FROM orders WHERE placed_at < '2000-01-01'`,
      );
      expect(sums).toEqual({ subtotal: 135_445_859, net: 126_579_276, shipping: 6_494_269 });

      const again = await importInto(NORTHWIND);
      expect(again.output).toBe('Orders: 0 placed, 830 replayed, 0 skipped, 0 failed. Users created: 0.');
      expect(await rows()).toEqual(before);
    }, 90_000);
  });
});

describe('an import that cannot start', () => {
  const KEY = { ORDO_API_KEY: 'ordo_secret' };
  const errorOf = (parameters: string[], environment: Environment) => {
    try {
      readArguments(parameters, environment);
    } catch (error) {
      return String(error).replace(/^\w+: /, '');
    }
    return undefined;
  };

  it.each([
    [[], 'Give one file to import.'],
    [['a', 'b'], 'Give one file to import.'],
    [['--fast', SAMPLE], "Unknown option '--fast'"],
    [['--apikey=ordo_secret', SAMPLE], "Unknown option '--apikey'"],
    [[SAMPLE, '--token', '--api-key', 'ordo_secret'], "Option '--token' argument is ambiguous"],
    [[SAMPLE, '--concurrency', '0'], '--concurrency must be'],
    [[SAMPLE, '--concurrency', '1.5'], '--concurrency must be'],
    [[SAMPLE, '--url', 'localhost:3000'], '--url must be'],
    [[SAMPLE, '--url', 'http://ada:secret@localhost'], '--url must be'],
  ])('answers %j with the usage', (parameters, message) => {
    const error = errorOf(parameters, KEY);
    expect(error).toContain(message);
    expect(error).toMatch(/\nUsage: npm run import -- FILE .*$/);
    expect(error).not.toContain('secret');
  });

  it('tells in one line how to get an API key, before it looks at the file', async () => {
    expect(await startImport(['no-such-file'], {}).done).toEqual({
      code: 1,
      output: '',
      errors: [expect.stringMatching(/ORDO_API_KEY.*POST \/v1\/api-keys .*"scopes": \["orders:write",/)],
    });
  });

  it.each<[string, string[], Environment, string]>([
    [
      'both as options',
      ['--api-key', 'secret', '--token', 'secret'],
      {},
      '--api-key and --token are both set: give one.',
    ],
    [
      'both as variables',
      [],
      { ORDO_API_KEY: 'secret', ORDO_TOKEN: 'secret' },
      'ORDO_API_KEY and ORDO_TOKEN are both set: give one.',
    ],
    [
      'a variable and its file',
      [],
      { ORDO_TOKEN: 'secret', ORDO_TOKEN_FILE: 'secret' },
      'ORDO_TOKEN and ORDO_TOKEN_FILE are both set',
    ],
    [
      'a file that is not there',
      [],
      { ORDO_API_KEY_FILE: '/no/secret' },
      'ORDO_API_KEY cannot be read from the file that ORDO_API_KEY_FILE names',
    ],
    [
      'nothing behind the option',
      ['--api-key', ''],
      KEY,
      '--api-key is no API key: check how it was copied.',
    ],
    [
      'what is no header',
      [],
      { ORDO_TOKEN: 'sec\nret' },
      'ORDO_TOKEN is no access token: check how it was copied.',
    ],
  ])('tells in one line of %s', (_what, options, environment, message) => {
    expect(errorOf([SAMPLE, ...options], environment)).toBe(message);
  });

  it('takes credentials from the command line, or else from a variable or its file', async () => {
    const file = join(folder, 'key');
    await writeFile(file, 'ordo_filed\n');
    const read = (options: string[], environment: Environment) =>
      readArguments([SAMPLE, ...options], environment)?.credentials;
    expect(read([], KEY)).toEqual({ kind: 'API key', text: 'ordo_secret' });
    expect(read([], { ORDO_API_KEY_FILE: file, ORDO_TOKEN: '' })).toEqual({
      kind: 'API key',
      text: 'ordo_filed',
    });
    expect(read([], { ORDO_TOKEN: ' a.b-c_d= ' })).toEqual({ kind: 'access token', text: 'a.b-c_d=' });
    const unread = { ...KEY, ORDO_TOKEN_FILE: '/no/such/file' };
    expect(read(['--token', 'a.b.c'], unread)).toEqual({ kind: 'access token', text: 'a.b.c' });
  });

  it('shows help without credentials', async () => {
    const { code, output } = await startImport(['--help'], {}).done;
    expect(code).toBe(0);
    expect(output).toMatch(/^Usage: .*\n\nPlaces/);
    for (const name of ['ORDO_API_KEY', '--token', 'ORDO_TOKEN_FILE', ...SCOPES])
      expect(output).toContain(name);
  });

  it('tells of a file that is missing, or a directory', async () => {
    const missing = join(folder, 'no-such-file');
    const runs = [missing, folder].map((file) => startImport([file], KEY).done);
    const [first, second] = await Promise.all(runs);
    expect(first).toMatchObject({
      code: 1,
      errors: [expect.stringMatching(`^${missing} cannot be read: ENOENT`)],
    });
    expect(second).toMatchObject({ code: 1, errors: [`${folder} cannot be read: it is a directory`] });
  });

  it('tells in one line that the service cannot be reached, and warns when others could read the key', async () => {
    const server = createServer();
    const { port } = new URL(await listen(server));
    await new Promise((resolve) => server.close(resolve));
    // Leads to this machine, but is no address of it.
    const url = `http://0.0.0.0:${port}`;
    expect(await startImport([SAMPLE, '--url', url], KEY).done).toEqual({
      code: 1,
      output: '',
      errors: [
        `Warning: the API key goes to ${url} unencrypted: anybody on the way can read it.`,
        `${url} cannot be reached (ECONNREFUSED): is it running, and is --url right?`,
      ],
    });
  });

  it.each([
    ['http://localhost:3000', false],
    ['http://127.1.2.3', false],
    ['http://[::1]:3000', false],
    ['https://shop.example', false],
    ['http://shop.example', true],
    ['http://127.0.0.1.shop.example', true],
    ['http://localhost.shop.example', true],
    ['http://10.0.0.1:3000', true],
  ])('%s travels in clear: %p', (url, expected) => {
    expect(travelsInClear(url)).toBe(expected);
  });
});

describe('the sample', () => {
  it('holds only addresses that nobody has', () => {
    const emails = readFileSync(SAMPLE, 'utf8').match(/"email": "[^"]*"/g) ?? [];
    expect(new Set(emails).size).toBe(3);
    expect(emails.every((email) => email.endsWith('@example.com"'))).toBe(true);
  });
});
