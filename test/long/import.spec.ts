import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
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
import { createKey } from '../support/people.js';
import { createUser, type OrderBody, placeOrder } from '../support/samples.js';
import { startService, type TestService } from '../support/service.js';

const NORTHWIND = fileURLToPath(new URL('../../../shared/data/northwind-orders.ndjson', import.meta.url));

let files: ImportFiles;
let service: TestService;
let key: string;
/** Customers have addresses of their own in each test, so that all can share one service. */
let domain: string;
/** What was added since the test began. */
let rows: () => Promise<RowCounts>;
beforeAll(async () => {
  [files, service] = await Promise.all([ImportFiles.create(), startService()]);
  key = await createKey(service, IMPORT_SCOPES);
});
beforeEach(async () => {
  domain = `${randomUUID()}.example.com`;
  rows = await countAddedRows(service);
});
afterAll(async () => {
  await service.stop();
  await files.remove();
});

const order = (number: number, members: object = {}) => importedOrder(domain, number, members);
const runImport = (parameters: string[], environment: Environment = { ORDO_API_KEY: key }) =>
  startImport(parameters, environment).done;
const importInto = (file: string, ...options: string[]) =>
  runImport([file, '--url', service.url, ...options]);
const importLines = async (lines: readonly (object | string | Buffer)[], ...options: string[]) =>
  importInto(await files.writeLines(lines), ...options);
/** As somebody to whom the service does not replay what the key did. */
const importAsAdmin = (file: string, ...options: string[]) =>
  runImport([file, '--url', service.url, '--token', service.adminToken, ...options], {
    ORDO_API_KEY: 'not-looked-at',
  });

describe('an import', () => {
  it('places the sample with what it says, and changes nothing when it is run again', async () => {
    const first = await importInto(SAMPLE);
    expect(first).toEqual({ code: 0, output: summary({ placed: 6, users: 3 }), errors: [] });
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

    expect(await importInto(SAMPLE)).toEqual({ code: 0, output: summary({ replayed: 6 }), errors: [] });
    expect(await rows()).toEqual(before);

    // Known by reference, as after the key is forgotten.
    expect(await importAsAdmin(SAMPLE)).toEqual({ code: 0, output: summary({ skipped: 6 }), errors: [] });
    expect(await rows()).toEqual(before);
  });

  it('names each bad line by its number, quotes no personal data, and places the others', async () => {
    const badEmail = order(10, { customer: { email: 'secret at example.com', name: '' } });
    const badLines = order(11, {
      currency: 'XYZ',
      lines: [{ sku: 'A', name: 'A', quantity: 0, unitPrice: 1 }],
    });
    const { code, output, errors } = await importLines([
      order(1),
      '{"customer": {"email": "secret@example.com"',
      '',
      Buffer.concat([Buffer.from('{"reference": "'), Buffer.from([0xff]), Buffer.from('"}')]),
      '   ',
      '[]',
      order(9, { customer: { name: 'Somebody Secret' } }),
      badEmail,
      badLines,
      order(12, { lines: 'none' }),
      order(13, { reference: 'R-\u001b[31m', note: 5 }),
      order(14),
      order(15, { customer: { email: '' } }),
    ]);
    expect(errors).toEqual([
      'line 2: not valid JSON',
      'line 4: not valid UTF-8',
      'line 6: not a JSON object',
      'line 7: /customer/email: must be a string',
      expect.stringMatching(/^line 8 \(R-10\): validation-failed: .*\/customer\/name: .*\/customer\/email: /),
      expect.stringMatching(/^line 9 \(R-11\): validation-failed: .*\/currency: .*\/lines\/0\/quantity: /),
      expect.stringMatching(/^line 10 \(R-12\): validation-failed: \/lines: /),
      expect.stringMatching(/^line 11 \(R- \[31m\): validation-failed: \/note: /),
      expect.stringMatching(/^line 13 \(R-15\): invalid-parameter: \/customer\/email: /),
    ]);
    expect(errors.join()).not.toMatch(/secret/i);
    expect(code).toBe(1);
    // Nobody is created for an order that is refused.
    expect(output).toBe(summary({ placed: 2, failed: 9, users: 2 }));
    expect(await rows()).toMatchObject({ users: 2, orders: 2 });
  });

  it('creates a customer under the first name that is accepted', async () => {
    const customer = { email: `new@${domain}`, name: '' };
    const { output, errors } = await importLines([
      order(1, { customer }),
      order(2, { customer: { ...customer, name: 'New' } }),
      order(3, { customer }),
    ]);
    expect(errors).toEqual([expect.stringMatching(/^line 1 \(R-1\): validation-failed: \/customer\/name: /)]);
    expect(output).toBe(summary({ placed: 2, failed: 1, users: 1 }));
  });

  it('takes CRLF, a byte order mark and a last line without its end', async () => {
    const file = await files.write(`\uFEFF${JSON.stringify(order(1))}\r\n\r\n${JSON.stringify(order(2))}`);
    expect(await importInto(file)).toMatchObject({ code: 0, output: summary({ placed: 2, users: 2 }) });
  });

  it('takes an order longer than a chunk of the file, and refuses a line without end', async () => {
    const line = { sku: 'A', name: 'Ä'.repeat(200), quantity: 1, unitPrice: 1 };
    const lines = Array.from({ length: 200 }, () => line);
    const { code, output, errors } = await importLines([
      order(1, { lines }),
      'x'.repeat(8_000_001),
      order(2, { lines }),
    ]);
    expect(errors).toEqual(['line 2: longer than 8000000 bytes']);
    expect(code).toBe(1);
    expect(output).toBe(summary({ placed: 2, failed: 1, users: 2 }));
    expect(await rows()).toMatchObject({ lines: 400 });
  });

  it('finds the orders for which the service refuses all that come with them', async () => {
    const given = Array.from({ length: 11 }, (_, index) => order(index + 1));
    given[2] = order(3, { note: 'N\0' });
    given[6] = order(7, { metadata: { text: '\ud800' } });
    given[9] = order(10, { metadata: { '\0': '' }, note: 'n'.repeat(1_100_000) });
    const { output, errors } = await importLines(given, '--concurrency', '1');
    expect(errors).toEqual([
      expect.stringMatching(/^line 3 \(R-3\): validation-failed: \/note: holds NUL/),
      expect.stringMatching(/^line 7 \(R-7\): validation-failed: \/metadata\/text: .* half of a surrogate/),
      expect.stringMatching(/^line 10 \(R-10\): body-too-large: /),
    ]);
    expect(output).toBe(summary({ placed: 8, failed: 3, users: 3 }));
  });

  it('knows a customer whose e-mail address is in another case, in the file and in the service', async () => {
    await createUser(service, { email: `Ada@${domain}` });
    const { output } = await importLines([
      order(1, { customer: { email: `ADA@${domain}`, name: 'Ada' } }),
      order(2, { customer: { email: `ada@${domain.toUpperCase()}`, name: 'Ada' } }),
      order(3, { customer: { email: `New@${domain}`, name: 'New' } }),
      order(4, { customer: { email: `nEW@${domain}`, name: 'New' } }),
    ]);
    expect(output).toBe(summary({ placed: 4, users: 1 }));
    expect(await rows()).toMatchObject({ users: 2, orders: 4 });

    const again = await importLines([order(1, { customer: { email: `ada@${domain}`, name: 'Ada' } })]);
    expect(again.output).toBe(summary({ replayed: 1 }));
  });

  it('fails a line whose order was imported before with other content', async () => {
    await importLines([order(1), order(2)]);
    const { code, output, errors } = await importLines([order(1), order(2, { note: 'new' })]);
    expect(errors).toEqual(['line 2 (R-2): imported before with other content (idempotency-key-reused)']);
    expect(code).toBe(1);
    expect(output).toBe(summary({ replayed: 1, failed: 1 }));
  });

  it('knows an order without a reference by its content, and an exported one by what it sends', async () => {
    const nameless = order(1, { reference: undefined, shipping: 0, metadata: { b: '1', a: '2' } });
    const changed = order(1, { reference: null, metadata: { b: '1', a: '3' } });
    const first = await importLines([
      nameless,
      changed,
      changed,
      order(5, { placedAt: '2026-01-01T01:00:00+01:00' }),
    ]);
    expect(first.output).toBe(summary({ placed: 3, replayed: 1, users: 2 }));
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
    const again = await importLines([
      order(1, { reference: null, metadata: { a: '2', b: '1' } }),
      order(5, { id: 'x', ...exported, lines: [line] }),
    ]);
    expect(again).toEqual({ code: 0, errors: [], output: summary({ replayed: 2 }) });
  });

  it('gives references on request, by which orders are known to others', async () => {
    const nameless = [1, 2, 2].map((number) => order(number, { reference: null }));
    const file = await files.writeLines([...nameless, order(3)]);
    const first = await importInto(file, '--add-references');
    expect(first.output).toBe(summary({ placed: 3, replayed: 1, users: 3 }));
    expect((await importInto(file, '--add-references')).output).toBe(summary({ replayed: 4 }));
    expect((await importAsAdmin(file, '--add-references')).output).toBe(summary({ skipped: 4 }));
    const given = await service.database.query<{ reference: string }>(
      `SELECT reference FROM orders JOIN users ON users.id = user_id WHERE email LIKE '%' || $1`,
      [domain],
    );
    expect(given.map(({ reference }) => reference.replace(/[0-9a-f]{64}$/, '#')).sort()).toEqual([
      'R-3',
      'import-#',
      'import-#',
    ]);
  });
});

/** What an import sends of an order, and what comes of it. */
const KEPT_MEMBERS = ['reference', 'currency', 'placedAt', 'note', 'metadata'];
const KEPT_AMOUNTS = ['subtotal', 'discount', 'tax', 'shipping', 'total'];
const KEPT_LINE_MEMBERS = ['position', 'sku', 'name', 'quantity', 'unitPrice', 'discountPpm', 'taxPpm'];

type ExportedOrder = OrderBody & { readonly customer: { readonly email: string; readonly name: string } };

/** What must be the same after an export was imported, in an order of its own. */
function kept(exported: readonly ExportedOrder[]): object[] {
  const pick = (source: Record<string, unknown>, names: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, source[name]]));
  return exported
    .map(({ customer, ...given }) => ({
      customer,
      ...pick(given, [...KEPT_MEMBERS, ...KEPT_AMOUNTS]),
      lines: (given.lines as Record<string, unknown>[]).map((line) =>
        pick(line, [...KEPT_LINE_MEMBERS, ...KEPT_AMOUNTS.filter((name) => name !== 'shipping')]),
      ),
    }))
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** The exported orders of customers at this domain. */
async function exportOf(from: TestService, host: string): Promise<ExportedOrder[]> {
  const { text } = await from.send('get', '/v1/orders/export').expect(200);
  const exported = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ExportedOrder);
  return exported.filter(({ customer }) => customer.email.endsWith(`@${host}`));
}

describe('an import of what was exported', () => {
  it('places the orders anew, with the same content and amounts, for the customers with those addresses', async () => {
    const [ada, bob] = [
      await createUser(service, { email: `ada@${domain}`, name: 'Ada' }),
      await createUser(service, { email: `bob@${domain}`, name: 'Bob' }),
    ];
    const post = async ({ id }: OrderBody, command: string, body: object) =>
      service
        .send('post', `/v1/orders/${id}/${command}`)
        .set('Idempotency-Key', randomUUID())
        .send(body)
        .expect(200);
    const paid = await placeOrder(service, ada.id, { reference: 'PAID', shipping: 490 });
    await post(paid, 'confirm', {});
    await post(paid, 'payments', { amount: 100, provider: 'bank', providerReference: randomUUID() });
    await post(
      await placeOrder(service, ada.id, { note: 'Off', metadata: { b: '1', a: '2' } }),
      'cancel',
      {},
    );
    await post(await placeOrder(service, bob.id), 'payments', {
      amount: 1,
      provider: 'bank',
      providerReference: randomUUID(),
    });
    const alike = { placedAt: '2026-01-15T11:02:10.123Z', reference: null };
    await Promise.all([1, 2, 3].map(() => placeOrder(service, bob.id, alike)));
    const exported = await exportOf(service, domain);

    const elsewhere = `elsewhere.${domain}`;
    const lines = exported.map((line) => ({
      ...line,
      userId: randomUUID(),
      customer: { ...line.customer, email: line.customer.email.replace(domain, elsewhere) },
    }));
    expect(await importLines(lines)).toEqual({
      code: 0,
      output:
        `${summary({ placed: 6, users: 2 })}\n` +
        '3 of the placed had another status or payments where they were exported: here they begin anew.',
      errors: [],
    });
    const imported = await exportOf(service, elsewhere);
    expect(kept(imported)).toEqual(kept(lines));
    for (const { status, paid: money, version } of imported) {
      expect({ status, money, version }).toEqual({ status: 'placed', money: 0, version: 1 });
    }

    // In whatever order they come, also those that say the same.
    const again = await importLines([...lines].reverse());
    expect(again).toEqual({ code: 0, output: summary({ replayed: 6 }), errors: [] });
  });
});

interface NorthwindOrder {
  readonly shipping: number;
  readonly lines: readonly {
    readonly quantity: number;
    readonly unitPrice: number;
    readonly discountPpm: number;
  }[];
}

/** An order of Northwind with what is computed; its numbers are small enough to be exact. */
function withAmounts(order: NorthwindOrder): object {
  const lines = order.lines.map((line, index) => {
    const subtotal = line.quantity * line.unitPrice;
    const discount = Math.round((subtotal * line.discountPpm) / 1e6);
    return {
      ...line,
      position: index + 1,
      taxPpm: 0,
      subtotal,
      discount,
      tax: 0,
      total: subtotal - discount,
    };
  });
  const sum = (name: 'subtotal' | 'discount' | 'total') => lines.reduce((all, line) => all + line[name], 0);
  return {
    note: null,
    metadata: {},
    ...order,
    lines,
    subtotal: sum('subtotal'),
    discount: sum('discount'),
    tax: 0,
    total: sum('total') + order.shipping,
  };
}

(existsSync(NORTHWIND) ? describe : describe.skip)('an import of Northwind', () => {
  const sumsOf = async (of: TestService) => {
    const [sums] = await of.database.query(
      `SELECT count(*)::int AS orders, sum(subtotal)::int AS subtotal, sum(subtotal - discount)::int AS net,
              sum(tax)::int AS tax, sum(shipping)::int AS shipping, sum(total)::int AS total
         FROM orders JOIN users ON users.id = user_id WHERE email LIKE '%@northwind.example'`,
    );
    return sums;
  };
  const SUMS = {
    orders: 830,
    subtotal: 135_445_859,
    net: 126_579_276,
    tax: 0,
    shipping: 6_494_269,
    total: 133_073_545,
  };

  it('adds up to what is known of it, and changes nothing when it is run again', async () => {
    expect(await importInto(NORTHWIND)).toEqual({
      code: 0,
      output: summary({ placed: 830, users: 89 }),
      errors: [],
    });
    const before = await rows();
    expect(before).toEqual({ users: 89, orders: 830, lines: 2_155, events: 919 });
    expect(await sumsOf(service)).toEqual(SUMS);

    const again = await importInto(NORTHWIND);
    expect(again.output).toBe(summary({ replayed: 830 }));
    expect(await rows()).toEqual(before);
  }, 90_000);

  it('is exported with all that it says, and adds up to the same in an empty database', async () => {
    const given = readFileSync(NORTHWIND, 'utf8').trim().split('\n');
    const exported = await exportOf(service, 'northwind.example');
    const expected = given.map((line) => withAmounts(JSON.parse(line) as NorthwindOrder) as ExportedOrder);
    expect(kept(exported)).toEqual(kept(expected));

    const empty = await startService();
    const environment = { ORDO_API_KEY: await createKey(empty, IMPORT_SCOPES) };
    const file = await files.writeLines(exported);
    expect(await runImport([file, '--url', empty.url], environment)).toEqual({
      code: 0,
      output: summary({ placed: 830, users: 89 }),
      errors: [],
    });
    expect(await sumsOf(empty)).toEqual(SUMS);
    expect(kept(await exportOf(empty, 'northwind.example'))).toEqual(kept(exported));
    await empty.stop();
  }, 90_000);
});
