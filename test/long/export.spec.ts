import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'csv-parse/sync';
import { Metrics } from '../../src/metrics/metrics.js';
import { loadOrders } from '../support/bulk.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { ask, download, hangUpAll } from '../support/download.js';
import { createKey, createPerson, type Person } from '../support/people.js';
import {
  createFolder,
  eventually,
  freePort,
  type ServiceProcess,
  startProcess,
  tokenOf,
} from '../support/process.js';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from '../support/samples.js';
import {
  ADMIN_EMAIL,
  ADMIN_PASSWORD,
  startService,
  type TestService,
  testConfig,
} from '../support/service.js';

const PATH = '/v1/orders/export';
type Row = Record<string, string>;
interface Exported extends OrderBody {
  customer: { email: string; name: string };
}

/** An export as its lines, of the admin unless somebody else asks. */
async function exported(service: TestService, query = '', token = service.adminToken): Promise<string[]> {
  const answer = await service.as(token).send('get', `${PATH}${query}`).expect(200);
  expect(answer.type).toBe('application/x-ndjson');
  const texts = answer.text.split('\n');
  expect(texts.pop()).toBe('');
  return texts;
}

const parsed = (texts: readonly string[]) => texts.map((text) => JSON.parse(text) as Exported);
const idsOf = (orders: readonly { id: string }[]) => orders.map(({ id }) => id);

const processes: ServiceProcess[] = [];
afterEach(() => {
  for (const { process } of processes.splice(0)) process.kill('SIGKILL');
});

/** The built service, whose end a test need not wait for. */
function startBuilt(
  folder: string,
  database: TestDatabase,
  environment: Record<string, string>,
): ServiceProcess {
  const running = startProcess(folder, {
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: testConfig(database).ORDO_SECRET,
    ADMIN_PASSWORD,
    ...environment,
  });
  processes.push(running);
  return running;
}

/** What a CSV reader that knows of our quotes makes of the file. */
function rowsOf(csv: string): Row[] {
  return parse(csv, { columns: true, bom: true, record_delimiter: '\r\n' }).map((row) =>
    Object.fromEntries(
      Object.entries(row as Row).map(([name, cell]) => [
        name,
        cell.replace(/^'('*[=+\-@\t\r\n＋－＝＠])/, '$1'),
      ]),
    ),
  );
}

describe('an export', () => {
  let service: TestService;
  let customer: Person;
  let other: Person;
  let hostile: UserBody;

  beforeAll(async () => {
    service = await startService();
    customer = await createPerson(service);
    other = await createPerson(service);
    hostile = await createUser(service, { name: '=HYPERLINK("http://evil.example","Ada")' });
    const owners = [customer.user.id, other.user.id, hostile.id];
    for (let index = 0; index < 12; index++) {
      await placeOrder(service, owners[index % 3], {
        currency: ['EUR', 'USD'][index % 2],
        placedAt: new Date(Date.UTC(2026, 0, 1 + index)).toISOString(),
        lines: [{ ...lines[0], sku: `SKU-${index % 4}`, quantity: index + 1 }, ...lines.slice(1)],
        ...(index < 6 && { reference: `REF-${index}` }),
      });
    }
    const command = async (id: string, path: string, body: object) => {
      const key = randomUUID();
      await service
        .send('post', `/v1/orders/${id}/${path}`)
        .set('Idempotency-Key', key)
        .send(body)
        .expect(200);
    };
    const [held, sent, cancelled] = [
      await placeOrder(service, hostile.id, {
        note: '-2+3\r\n"quoted", and more',
        metadata: { zeta: '=1', alpha: '@SUM(A1)', nothing: '' },
        lines: [
          { sku: '+SKU', name: "'=already quoted", quantity: 1, unitPrice: 1 },
          { sku: "'s-Hertogenbosch", name: '＝full width', quantity: 1, unitPrice: 9_007_199_254_740_000 },
          { sku: '\ttab', name: '\r\nnew line', quantity: 1, unitPrice: 1 },
          { sku: '@', name: '-', quantity: 1, unitPrice: 1 },
          { sku: '\rreturn', name: 'Zoë ☕ Ünïcode', quantity: 1, unitPrice: 1 },
        ],
      }),
      await placeOrder(service, customer.user.id, { note: '' }),
      await placeOrder(service, other.user.id),
    ];
    await command(held.id, 'hold', { reason: '=cmd|calc' });
    await command(sent.id, 'confirm', {});
    await command(sent.id, 'payments', { amount: 9_999, provider: 'bank', providerReference: randomUUID() });
    await command(sent.id, 'refunds', { lines: [{ position: 1, quantity: 1 }], reason: '-one cup' });
    await command(sent.id, 'fulfillments', { lines: [{ position: 1, quantity: 2 }], carrier: 'Post' });
    await command(sent.id, 'fulfillments', {
      lines: [
        { position: 1, quantity: 1 },
        { position: 2, quantity: 1 },
      ],
    });
    await command(cancelled.id, 'cancel', {});
  });
  afterAll(() => service.stop());

  it.each([
    [''],
    ['userId', () => customer.user.id],
    ['status', () => 'on_hold'],
    ['paymentStatus', () => 'overpaid'],
    ['fulfillmentStatus', () => 'fulfilled'],
    ['currency', () => 'USD'],
    ['reference', () => 'REF-3'],
    ['sku', () => 'SKU-2'],
    ['placedFrom', () => '2026-01-09T00:00:00Z'],
    ['placedTo', () => '2026-01-04T00:00:00Z'],
    ['totalMin', () => '20000'],
    ['totalMax', () => '9000'],
  ])('has the orders of the list, in its order: %s', async (name, value = () => '') => {
    const query = name === '' ? '' : `?${new URLSearchParams({ [name]: value() }).toString()}`;
    const { body } = await service
      .send('get', `/v1/orders${query}${query === '' ? '?' : '&'}limit=100`)
      .expect(200);
    const { data } = body as { data: OrderBody[] };
    expect(data.length).toBeGreaterThan(0);
    expect(data.length < 15 || name === '').toBe(true);
    expect(idsOf(parsed(await exported(service, query)))).toEqual(idsOf(data));
  });

  it('takes several filters at once, and may be empty', async () => {
    const query = `?userId=${customer.user.id}&currency=EUR&sku=SKU-2&placedFrom=2026-01-05T00:00:00Z`;
    const list = await service.send('get', `/v1/orders${query}`).expect(200);
    expect(idsOf(parsed(await exported(service, query)))).toEqual(
      idsOf((list.body as { data: OrderBody[] }).data),
    );
    expect(await exported(service, '?reference=NONE')).toEqual([]);
  });

  it.each(['admin', 'customer', 'a key that reads'])('has in each line what GET answers: %s', async (who) => {
    const tokens: Record<string, string> = { admin: service.adminToken, customer: customer.accessToken };
    const token = tokens[who] ?? (await createKey(service, ['orders:read']));
    const texts = await exported(service, '', token);
    expect(texts).toHaveLength(who === 'customer' ? 5 : 15);
    for (const text of texts) {
      const { id, userId } = JSON.parse(text) as Exported;
      const answer = await service.as(token).send('get', `/v1/orders/${id}`).expect(200);
      const user = await service.send('get', `/v1/users/${userId}`).expect(200);
      const { email, name } = user.body as UserBody;
      expect(text).toBe(`${answer.text.slice(0, -1)},"customer":${JSON.stringify({ email, name })}}`);
    }
  });

  it("has a customer's own orders and no others, whatever the filter", async () => {
    const owners = async (query: string) =>
      parsed(await exported(service, query, customer.accessToken)).map(({ userId }) => userId);
    expect(new Set(await owners(''))).toEqual(new Set([customer.user.id]));
    expect(await owners(`?userId=${other.user.id}`)).toEqual([]);
    expect(await owners('?reference=REF-1')).toEqual([]);
  });

  it('is refused to whoever may not read orders', async () => {
    const auditor = await createPerson(service, 'auditor');
    await service.as(auditor.accessToken).send('get', PATH).expect(403);
    await service
      .as(await createKey(service, ['orders:write']))
      .send('get', PATH)
      .expect(403);
  });

  it('refuses what it does not take', async () => {
    for (const [query, code] of [
      ['?limit=10', 'unknown-parameter'],
      ['?cursor=x', 'unknown-parameter'],
      ['?format=xml', 'invalid-parameter'],
      ['?format=csv&format=ndjson', 'invalid-parameter'],
      ['?status=gone', 'invalid-parameter'],
    ]) {
      const answer = await service.send('get', `${PATH}${query}`).expect(400);
      expect(answer.body).toMatchObject({ code });
    }
    await service.send('get', PATH).set('Accept', 'image/png').expect(406);
    for (const type of ['text/csv', 'application/x-ndjson', 'application/json', '*/*']) {
      await service.send('get', PATH).set('Accept', type).expect(200);
    }
  });

  it('is a file with a name', async () => {
    for (const [format, type] of [
      ['ndjson', 'application/x-ndjson'],
      ['csv', 'text/csv; charset=utf-8; header=present'],
    ]) {
      for (const method of ['get', 'head'] as const) {
        const answer = await service.send(method, `${PATH}?format=${format}`).expect(200);
        expect(answer.get('Content-Type')).toBe(type);
        expect(answer.get('Content-Disposition')).toMatch(
          new RegExp(
            `^attachment; filename="orders-\\d{4}-\\d\\d-\\d\\dT\\d\\d-\\d\\d-\\d\\dZ\\.${format}"$`,
          ),
        );
      }
    }
  });

  it('is on the record: who, but not for headers alone', async () => {
    const events = async () => {
      const { body } = await service
        .send('get', '/v1/audit/events?action=order.exported&limit=100')
        .expect(200);
      return (body as { data: { actor: object; subject: object; requestId: string }[] }).data;
    };
    const before = (await events()).length;
    const id = randomUUID();
    await service.as(other.accessToken).send('get', PATH).set('X-Request-Id', id).expect(200);
    await service.send('head', PATH).expect(200);
    await service.send('get', `${PATH}?format=xml`).expect(400);
    const after = await events();
    expect(after).toHaveLength(before + 1);
    expect(after[0]).toMatchObject({
      actor: { type: 'user', id: other.user.id },
      subject: { type: 'order', id: null, version: null },
      requestId: id,
    });
  });

  it.each(['ndjson', 'csv'])('is compressed for whoever takes that: %s', async (format) => {
    const get = async (encoding: string) => {
      const answer = await fetch(`${service.url}${PATH}?format=${format}`, {
        headers: { Authorization: `Bearer ${service.adminToken}`, 'Accept-Encoding': encoding },
      });
      return { encoding: answer.headers.get('content-encoding'), text: await answer.text() };
    };
    const compressed = await get('gzip');
    expect(compressed.encoding).toBe('gzip');
    expect(compressed.text).toBe((await get('identity')).text);
  });

  it('imports into another service as the same orders', async () => {
    const another = await startService();
    const key = await createKey(another, ['orders:write', 'users:read', 'users:write']);
    const { folder, remove } = await createFolder();
    const file = join(folder, 'orders.ndjson');
    const texts = await exported(service);
    await writeFile(file, texts.join('\n'));
    const command = fileURLToPath(new URL('../../dist/src/cli/import.js', import.meta.url));
    const child = spawn(process.execPath, [command, file, '--url', another.url], {
      env: { ORDO_API_KEY: key },
    });
    expect(await once(child, 'close')).toEqual([0, null]);
    expect(
      parsed(await exported(another))
        .map(placementOf)
        .sort(byText),
    ).toEqual(parsed(texts).map(placementOf).sort(byText));
    await remove();
    await another.stop();
  });

  describe('as CSV', () => {
    let csv: string;
    beforeAll(async () => {
      csv = (await service.send('get', `${PATH}?format=csv`).expect(200)).text;
    });

    it('begins with a mark and a header, ends its rows in CR LF, and has one row for each line of an order', async () => {
      expect(csv.startsWith('\ufeffid,reference,userId,customerEmail,customerName,status,')).toBe(true);
      const orders = parsed(await exported(service));
      expect(rowsOf(csv).map((row) => `${row.id} ${row.linePosition}`)).toEqual(
        orders.flatMap(({ id, lines: all }) =>
          (all as { position: number }[]).map((line) => `${id} ${line.position}`),
        ),
      );
      const empty = await service.send('get', `${PATH}?format=csv&reference=NONE`).expect(200);
      expect(empty.text).toBe(csv.slice(0, csv.indexOf('\n') + 1));
      expect(empty.text.endsWith('\r\n')).toBe(true);
    });

    it('loses nothing: the orders can be made of its rows again', async () => {
      const rows = Map.groupBy(rowsOf(csv), ({ id = '' }) => id);
      expect([...rows.values()].map(orderOf)).toEqual(
        // A reader that does not look at quotes takes empty text for nothing.
        parsed(await exported(service)).map((order) => ({
          ...order,
          note: order.note === '' ? null : order.note,
        })),
      );
    });

    it('tells an empty note from none', () => {
      expect(csv.match(/,"",\{\},/g)).toHaveLength(1);
    });

    it('holds amounts of an order once, so that they add up', async () => {
      const total = rowsOf(csv).reduce((sum, row) => sum + BigInt(row.total ?? ''), 0n);
      expect(total).toBe(
        parsed(await exported(service)).reduce((sum, order) => sum + BigInt(order.total), 0n),
      );
    });

    it('has no cell that a spreadsheet takes for a formula', () => {
      const cells: string[][] = parse(csv, { bom: true, record_delimiter: '\r\n' });
      expect(cells.flat().filter((cell) => /^[=+@\t\r\n＋－＝＠]/.test(cell))).toEqual([]);
      // What begins with a minus is a number of ours.
      expect(cells.flat().filter((cell) => cell.startsWith('-') && !/^-\d+$/.test(cell))).toEqual([]);
      expect(cells.flat().filter((cell) => /^-\d+$/.test(cell)).length).toBeGreaterThan(0);
      for (const cell of [
        "''=already quoted",
        "'s-Hertogenbosch",
        `'=HYPERLINK("http://evil.example","Ada")`,
      ]) {
        expect(cells.flat()).toContain(cell);
      }
    });
  });
});

/** What an import takes over of an order. */
function placementOf({
  customer,
  placedAt,
  reference,
  currency,
  shipping,
  note,
  metadata,
  total,
  lines: all,
}: Exported) {
  return { customer, placedAt, reference, currency, shipping, note, metadata, total, skus: skusOf(all) };
}

const skusOf = (all: unknown) =>
  (all as { sku: string; quantity: number }[]).map(({ sku, quantity }) => [sku, quantity]);
const byText = (a: object, b: object) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

/** The order of its rows, member by member as GET answers them. */
function orderOf(rows: readonly Row[]): object {
  const [first = {}] = rows;
  const number = (row: Row, name: string) => Number(row[name]);
  const numbers = (names: string) =>
    Object.fromEntries(names.split(' ').map((name) => [name, number(first, name)]));
  const words = (names: string) => Object.fromEntries(names.split(' ').map((name) => [name, first[name]]));
  const lineNumbers =
    'position quantity unitPrice discountPpm taxPpm subtotal discount tax total fulfilled refunded';
  const ofLine = (name: string) => `line${name[0]?.toUpperCase()}${name.slice(1)}`;
  return {
    ...words('id userId currency status paymentStatus fulfillmentStatus placedAt createdAt updatedAt'),
    ...numbers('subtotal discount tax shipping total paid refunded balance version'),
    ...Object.fromEntries(
      ['metadata', 'payments', 'refunds', 'fulfillments'].map((name) => [
        name,
        JSON.parse(first[name] ?? ''),
      ]),
    ),
    reference: first.reference === '' ? null : first.reference,
    note: first.note === '' ? null : first.note,
    hold: first.holdFrom === '' ? null : { from: first.holdFrom, reason: first.holdReason },
    availableActions: (first.availableActions ?? '').split(' ').filter((action) => action !== ''),
    customer: { email: first.customerEmail, name: first.customerName },
    lines: rows.map((row) => ({
      sku: row.lineSku,
      name: row.lineName,
      ...Object.fromEntries(lineNumbers.split(' ').map((name) => [name, number(row, ofLine(name))])),
    })),
  };
}

describe('an export of more than all buffers hold', () => {
  const COUNT = 1_000;
  let database: TestDatabase;
  let service: TestService;
  let url: string;
  let token: string;
  let userId: string;
  let oldest: OrderBody;

  beforeAll(async () => {
    database = await createDatabase();
    // What the login must not wait for, exports have to. And only what they do themselves ends a statement of theirs.
    const impatient = '-c idle_in_transaction_session_timeout=300ms -c lock_timeout=0 -c statement_timeout=0';
    const databaseUrl = `${database.serviceUrl}?options=${encodeURIComponent(impatient)}`;
    service = await startService({ DATABASE_URL: databaseUrl, REQUEST_TIMEOUT_MS: 1_000 }, database);
    token = service.adminToken;
    url = `${service.url}${PATH}`;
    userId = (await createUser(service)).id;
    oldest = await placeOrder(service, userId, { reference: 'OLDEST' });
    await loadOrders(database, userId, COUNT - 1, { bytes: 25_000 });
  });
  afterAll(async () => {
    await service.stop();
    await database.drop();
  });

  afterEach(async () => {
    hangUpAll();
    await untilNone();
  });

  /** The connections of exports, each with what it does and the seconds since it began to. */
  const connections = (seconds = 0) =>
    database.query<{ pid: number; state: string; waits: string | null }>(
      `SELECT pid, state, wait_event_type AS waits FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'ordo snapshot'
          AND clock_timestamp() - state_change >= make_interval(secs => $1)`,
      [seconds],
    );
  const untilNone = () =>
    eventually(async () => {
      expect(await connections()).toEqual([]);
    });
  const linesOf = (texts: string) => texts.split('\n').length - 1;
  /** Exports that stand still, because nobody reads them. */
  const untilStalled = (count = 1) =>
    eventually(async () => {
      expect(await connections(0.5)).toEqual(
        Array.from({ length: count }, () => expect.objectContaining({ state: 'idle in transaction' })),
      );
    });

  it('reads no further than its client does, past all time limits, and then goes on to the end', async () => {
    const answer = await download(url, token);
    // Had it read on, it would be over.
    await untilStalled();
    expect(linesOf(await answer.rest())).toBe(COUNT);
    await untilNone();
  });

  it('is of one moment: what is placed or changed meanwhile does not show', async () => {
    const answer = await download(url, token);
    await untilStalled();
    const placed = await placeOrder(service, userId);
    await service.send('post', `/v1/orders/${oldest.id}/cancel`).expect(200);
    const rename = service.send('patch', `/v1/users/${userId}`).set('If-Match', '*');
    const { name } = (await rename.send({ name: 'Renamed' }).expect(200)).body as UserBody;
    const orders = parsed((await answer.rest()).split('\n').slice(0, -1));
    expect(orders).toHaveLength(COUNT);
    expect(idsOf(orders)).not.toContain(placed.id);
    expect(orders.at(-1)).toMatchObject({ id: oldest.id, status: 'placed', version: 1 });
    expect(new Set(orders.map(({ customer }) => customer.name))).toEqual(new Set(['Ada Lovelace']));
    const [later] = parsed(await exported(service, '?reference=OLDEST'));
    expect(later).toMatchObject({ id: oldest.id, status: 'cancelled', version: 2, customer: { name } });
  });

  it('goes on twice at once; a third is asked to come again, until one is over', async () => {
    const [one, two] = [await download(url, token), await download(url, token)];
    const third = await service.send('get', PATH).expect(503);
    expect(third.body).toMatchObject({ code: 'unavailable' });
    expect(third.get('Retry-After')).toBe('10');
    expect(third.get('Content-Disposition')).toBeUndefined();
    one.hangUp();
    await eventually(async () => {
      await service.send('get', `${PATH}?reference=LOADED-2`).expect(200);
    });
    two.hangUp();
    await untilNone();
  });

  it('gives its connection back at once when the client hangs up that did not read', async () => {
    const answer = await download(url, token);
    await untilStalled();
    answer.hangUp();
    await untilNone();
  });

  it('gives its connection back at once when the client hangs up in the middle of a statement', async () => {
    const locker = await database.connect(database.superuserUrl);
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
    const request = ask(url, token);
    await eventually(async () => {
      expect(await connections()).toMatchObject([{ state: 'active', waits: 'Lock' }]);
    });
    request.hangUp();
    await untilNone();
    // And the same when it is not begun in time.
    const answer = await service.send('get', PATH).expect(504);
    expect(answer.body).toMatchObject({ code: 'timeout' });
    await untilNone();
    await locker.query('ROLLBACK');
  });

  it.each(['identity', 'gzip'])('breaks off visibly when the database does: %s', async (encoding) => {
    const answer = await download(url, token, { 'Accept-Encoding': encoding });
    const [connection] = await eventually(async () => {
      const found = await connections();
      expect(found).toHaveLength(1);
      return found;
    });
    await database.query('SELECT pg_terminate_backend($1)', [connection?.pid]);
    await expect(answer.rest()).rejects.toThrow();
    await untilNone();
    const metrics = await service.app.get(Metrics).registry.metrics();
    expect(metrics).toMatch(
      /http_request_duration_seconds_count\{method="GET",route="\/v1\/orders\/export",status="500"\}/,
    );
  });

  it('breaks off visibly in HTTP/1.0 as well, where the end of the connection is the end of the answer', async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    socket.write(`GET ${PATH} HTTP/1.0\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    await once(socket, 'connect');
    await untilStalled();
    const [connection] = await connections();
    await database.query('SELECT pg_terminate_backend($1)', [connection?.pid]);
    const failure = once(socket, 'end');
    socket.resume();
    await expect(failure).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('breaks off when its client takes nothing for too long', async () => {
    const hasty = await startService({ EXPORT_STALL_TIMEOUT_MS: 300 }, database);
    try {
      const answer = await download(`${hasty.url}${PATH}`, hasty.adminToken);
      await untilNone();
      await expect(answer.rest()).rejects.toThrow();
    } finally {
      await hasty.stop();
    }
  });

  describe('when the service is told to stop', () => {
    async function startAnother(timeout: string) {
      const { folder, remove } = await createFolder();
      const running = startBuilt(folder, database, { SHUTDOWN_TIMEOUT_MS: timeout });
      const address = await running.listening();
      const admin = await tokenOf(address, { email: ADMIN_EMAIL, password: ADMIN_PASSWORD });
      const answer = await download(`${address}${PATH}`, admin);
      return { running, answer, remove };
    }

    it('is finished first, if its client goes on reading', async () => {
      const { running, answer, remove } = await startAnother('20000');
      running.process.kill('SIGTERM');
      expect(linesOf(await answer.rest())).toBeGreaterThanOrEqual(COUNT);
      expect(await running.exited()).toBe(0);
      await remove();
    });

    it('is broken off visibly after SHUTDOWN_TIMEOUT_MS', async () => {
      const { running, answer, remove } = await startAnother('300');
      running.process.kill('SIGTERM');
      expect(await running.exited()).toBe(0);
      await expect(answer.rest()).rejects.toThrow();
      await untilNone();
      await remove();
    });
  });
});

/** With a million, this tells whether memory depends on the number of orders; it takes some minutes. */
const MANY = Number(process.env['ORDO_EXPORT_ORDERS'] ?? 3_000);
const MOST_GROWTH = 400_000_000;

it(`of ${MANY} orders takes no more memory than of few`, async () => {
  const database = await createDatabase();
  const { folder, remove } = await createFolder();
  const metricsPort = await freePort();
  const running = startBuilt(folder, database, { METRICS_PORT: String(metricsPort) });
  const url = await running.listening();
  const [admin] = await database.query<{ id: string }>('SELECT id FROM users');
  await loadOrders(database, admin?.id ?? '', MANY, { bytes: 1_000 });
  const memory = async () => {
    const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`).then((answer) => answer.text());
    return Number(/^process_resident_memory_bytes (\S+)$/m.exec(metrics)?.[1]);
  };
  // Loading may take longer than a token lives.
  const token = await tokenOf(url, { email: ADMIN_EMAIL, password: ADMIN_PASSWORD });

  const before = await memory();
  const start = performance.now();
  const answer = await fetch(`${url}${PATH}`, { headers: { Authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  let lineFeeds = 0;
  let bytes = 0;
  let peak = before;
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lineFeeds += 1;
    if (Math.floor(bytes / 2e7) !== Math.floor((bytes + chunk.length) / 2e7))
      peak = Math.max(peak, await memory());
    bytes += chunk.length;
  }
  if (process.env['ORDO_EXPORT_ORDERS'] !== undefined) {
    const seconds = Math.round((performance.now() - start) / 1_000);
    const inMegabytes = [before, peak, bytes].map((figure) => Math.round(figure / 1e6));
    process.stdout.write(
      `${lineFeeds} orders in ${seconds} s; MB before, at most, sent: ${inMegabytes.join(', ')}\n`,
    );
  }
  expect(lineFeeds).toBe(MANY);
  expect(peak - before).toBeLessThan(MOST_GROWTH);
  running.process.kill('SIGTERM');
  await running.exited();
  await remove();
  await database.drop();
}, 1_800_000);
