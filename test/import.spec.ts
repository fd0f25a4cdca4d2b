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
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startService, type TestService } from './support/service.js';

const COMMAND = fileURLToPath(new URL('../dist/src/cli/import.js', import.meta.url));
const SAMPLE = fileURLToPath(new URL('../examples/orders.ndjson', import.meta.url));
const NORTHWIND = fileURLToPath(new URL('../../shared/data/northwind-orders.ndjson', import.meta.url));

interface Run {
  readonly child: ChildProcess;
  readonly done: Promise<{ code: number | null; output: string; errors: string[] }>;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ordo-import-'));
});
afterAll(() => rm(folder, { recursive: true }));

function startImport(...parameters: string[]): Run {
  const child = spawn(process.execPath, [COMMAND, ...parameters], { stdio: ['ignore', 'pipe', 'pipe'] });
  const end = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const done = Promise.all([end, text(child.stdout), text(child.stderr)]).then(([code, output, errors]) => ({
    code,
    output: output.trim(),
    errors: errors.split('\n').filter((line) => line !== ''),
  }));
  return { child, done };
}

const runImport = (...parameters: string[]) => startImport(...parameters).done;

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
    customer: { email: `customer${number % 3}@example.com`, name: 'Somebody Secret' },
    currency: 'EUR',
    lines: [{ sku: 'TEA', name: 'Tea', quantity: number, unitPrice: 100 }],
    ...members,
  };
}

async function forwardTo(base: string, request: IncomingMessage, response: ServerResponse) {
  const headers = ['content-type', 'idempotency-key'].flatMap((name): [string, string][] => {
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

const orders = (count: number) => Array.from({ length: count }, (_, index) => order(index + 1));

describe('an import', () => {
  let service: TestService;
  beforeEach(async () => {
    service = await startService();
  });
  afterEach(() => service.stop());

  const importInto = (file: string, ...options: string[]) =>
    runImport(file, '--url', service.url, ...options);
  const rows = async () => {
    const [counts] = await service.database.query(
      `SELECT (SELECT count(*)::int FROM users) AS users, (SELECT count(*)::int FROM orders) AS orders,
              (SELECT count(*)::int FROM order_lines) AS lines, (SELECT count(*)::int FROM audit_events) AS events`,
    );
    return counts;
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
  });

  it('skips by reference what was placed under a key that is forgotten', async () => {
    await importInto(SAMPLE);
    const before = await rows();
    await service.database.query('DELETE FROM idempotency_keys');
    const again = await importInto(SAMPLE);
    expect(again).toMatchObject({ code: 0, errors: [] });
    expect(again.output).toBe('Orders: 0 placed, 0 replayed, 6 skipped, 0 failed. Users created: 0.');
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
    await service.send('post', '/v1/users').send({ name: 'Ada', email: 'Ada@Example.com' }).expect(201);
    const file = await writeLines([
      order(1, { customer: { email: 'ADA@example.com', name: 'Ada' } }),
      order(2, { customer: { email: 'ada@EXAMPLE.com', name: 'Ada' } }),
      order(3, { customer: { email: 'New@example.com', name: 'New' } }),
      order(4, { customer: { email: 'nEW@example.com', name: 'New' } }),
    ]);
    const { output } = await importInto(file);
    expect(output).toBe('Orders: 4 placed, 0 replayed, 0 skipped, 0 failed. Users created: 1.');
    expect(await rows()).toMatchObject({ users: 2, orders: 4 });

    const again = await importInto(
      await writeLines([order(1, { customer: { email: 'ada@example.com', name: 'Ada' } })]),
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
      readonly response: ServerResponse;
      /** Has the service answer the request, and returns what passes its answer on. */
      forward(): Promise<() => void>;
    }
    let handle: (call: Call) => Promise<void>;
    let calls: string[];
    let proxy: Server;
    let proxyUrl: string;
    beforeEach(async () => {
      calls = [];
      handle = passOn;
      proxy = createServer((request, response) => {
        const name = `${request.method} ${request.url}`;
        const key = String(request.headers['idempotency-key']);
        const forward = () => forwardTo(service.url, request, response);
        calls.push(name);
        handle({ name, key, response, forward }).catch(() => response.destroy());
      }).listen(0, '127.0.0.1');
      await once(proxy, 'listening');
      proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    });
    afterEach(() => {
      proxy.closeAllConnections();
      proxy.close();
    });

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
      const run = startImport(file, '--url', proxyUrl);
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
      expect(await runImport(await writeLines(orders(20)), '--url', proxyUrl)).toEqual({
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
          call.response.writeHead(503, { 'Retry-After': '1' }).end();
        } else await passOn(call);
      };
      await runImport(await writeLines(orders(1)), '--url', proxyUrl);
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
      const { code, errors } = await runImport(await writeLines(orders(1)), '--url', proxyUrl);
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
      await runImport(await writeLines(orders(24)), '--url', proxyUrl, '--concurrency', '4');
      expect(most).toBe(4);
    });

    it('finds the user whom somebody else creates at the same moment', async () => {
      handle = async (call) => {
        if (call.name === 'POST /v1/users') {
          await service.send('post', '/v1/users').send({ name: 'First', email: 'CUSTOMER1@example.com' });
        }
        await passOn(call);
      };
      const { output } = await runImport(await writeLines(orders(1)), '--url', proxyUrl);
      expect(output).toBe('Orders: 1 placed, 0 replayed, 0 skipped, 0 failed. Users created: 0.');
      expect(await rows()).toMatchObject({ users: 1, orders: 1 });
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
           FROM orders`,
      );
      expect(sums).toEqual({ subtotal: 135_445_859, net: 126_579_276, shipping: 6_494_269 });

      const again = await importInto(NORTHWIND);
      expect(again.output).toBe('Orders: 0 placed, 830 replayed, 0 skipped, 0 failed. Users created: 0.');
      expect(await rows()).toEqual(before);
    }, 90_000);
  });
});

describe('an import that cannot start', () => {
  it.each([
    [[], 'Give one file to import.'],
    [['a', 'b'], 'Give one file to import.'],
    [['--fast', SAMPLE], "Unknown option '--fast'"],
    [[SAMPLE, '--concurrency', '0'], '--concurrency must be'],
    [[SAMPLE, '--concurrency', '1.5'], '--concurrency must be'],
    [[SAMPLE, '--url', 'localhost:3000'], '--url must be'],
    [[SAMPLE, '--url', 'http://ada:secret@localhost'], '--url must be'],
  ])('answers %j with the usage', async (parameters, message) => {
    const { code, output, errors } = await runImport(...parameters);
    expect({ code, output }).toEqual({ code: 1, output: '' });
    expect(errors).toHaveLength(2);
    expect(errors[0]).toContain(message);
    expect(errors[1]).toMatch(/^Usage: npm run import -- FILE/);
  });

  it('shows help', async () => {
    const { code, output } = await runImport('--help');
    expect(code).toBe(0);
    expect(output).toMatch(/^Usage: .*\n\nPlaces/);
  });

  it.each([
    ['is missing', join(tmpdir(), 'ordo-no-such-file'), 'ENOENT'],
    ['is a directory', tmpdir(), 'it is a directory'],
  ])('tells of a file that %s', async (_what, file, reason) => {
    const { code, errors } = await runImport(file);
    expect(code).toBe(1);
    expect(errors).toEqual([expect.stringMatching(`^${file} cannot be read: ${reason}`)]);
  });

  it('tells in one line that the service cannot be reached', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    expect(await runImport(SAMPLE, '--url', `http://127.0.0.1:${port}`)).toEqual({
      code: 1,
      output: '',
      errors: [
        `http://127.0.0.1:${port} cannot be reached (ECONNREFUSED): is it running, and is --url right?`,
      ],
    });
  });
});

describe('the sample', () => {
  it('holds only addresses that nobody has', () => {
    const emails = readFileSync(SAMPLE, 'utf8').match(/"email": "[^"]*"/g) ?? [];
    expect(new Set(emails).size).toBe(3);
    expect(emails.every((email) => email.endsWith('@example.com"'))).toBe(true);
  });
});
