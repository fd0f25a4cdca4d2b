import { once } from 'node:events';
import { connect } from 'node:net';
import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type pg from 'pg';
import type { Test } from 'supertest';
import { createUser, lines, type OrderBody, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

const MAX_AMOUNT = Number.MAX_SAFE_INTEGER;
const UNKNOWN_ID = '01900000-0000-7000-8000-000000000000';
const MEBIBYTE = 1_048_576;

let service: TestService;
let database: pg.Client;
let user: UserBody;
let order: OrderBody;

beforeAll(async () => {
  service = await startService();
  database = await service.database.connect();
  user = await createUser(service);
  order = await placeOrder(service, user.id);
});
afterAll(() => service.stop());

/** Everything that a request could have left behind. */
async function countRows(): Promise<unknown> {
  const { rows } = await database.query<Record<string, number>>(
    `SELECT (SELECT count(*)::int FROM users) AS users, (SELECT count(*)::int FROM orders) AS orders,
            (SELECT count(*)::int FROM order_lines) AS lines, (SELECT count(*)::int FROM audit_events) AS events,
            (SELECT count(*)::int FROM idempotency_keys) AS keys, (SELECT count(*)::int FROM passwords) AS passwords,
            (SELECT count(*)::int FROM sessions) AS sessions, (SELECT count(*)::int FROM reset_tokens) AS "resetTokens",
            (SELECT count(*)::int FROM api_keys) AS "apiKeys"`,
  );
  return rows[0];
}

interface Fault {
  readonly pointer?: string;
  readonly parameter?: string;
}

/** Sends the request and expects a problem with exactly these faults: JSON pointers, or parameters as `?name`. */
async function expectRefusal(
  request: Test,
  status: number,
  code: string,
  ...places: string[]
): Promise<void> {
  const before = await countRows();
  const response = await request;
  const errors = (response.body.errors ?? []) as Fault[];
  expect({
    status: response.status,
    code: response.body.code,
    places: errors.map(({ pointer, parameter = '' }) => pointer ?? `?${parameter}`).sort(),
  }).toEqual({ status, code, places: places.sort() });
  expect(response.get('Content-Type')).toBe('application/problem+json; charset=utf-8');
  expect(await countRows()).toEqual(before);
}

/** The request with these very bytes as its body. */
function withBody(request: Test, body: string | Buffer, type = 'application/json'): Test {
  return request
    .type(type)
    .serialize((bytes: unknown) => bytes as string)
    .send(body as unknown as string);
}

const postUser = () => service.send('post', '/v1/users');
const postAuth = (route: string) => service.as(undefined).send('post', `/v1/auth/${route}`);
const register = () => postAuth('register');
const postOrder = () => service.send('post', '/v1/orders').set('Idempotency-Key', randomUUID());
const patchOrder = () => service.send('patch', `/v1/orders/${order.id}`).set('If-Match', '*');

/** JSON of a valid user, of a valid order and of its line, with members as raw JSON text added behind. */
const userJson = (members = '') =>
  `{"name": "Ada", "email": "${randomUUID()}@example.com"${members && `, ${members}`}}`;
const registrationJson = (members = '') =>
  userJson(`"password": "the tea is in the pot"${members && `, ${members}`}`);
const lineJson = (members = '') =>
  `{"sku": "A", "name": "A", "quantity": 1, "unitPrice": 1${members && `, ${members}`}}`;
const orderJson = (members = '', line = lineJson()) =>
  `{"userId": "${user.id}", "currency": "EUR", "lines": [${line}]${members && `, ${members}`}}`;

/** Routes that create something: what goes for the bytes of a body goes for all. */
const creations = [
  ['POST /v1/users', postUser, userJson],
  ['POST /v1/auth/register', register, registrationJson],
  ['POST /v1/orders', postOrder, orderJson],
] as const;

describe.each(creations)('the body of %s', (_route, post, valid) => {
  it.each([
    ['a member cut short', '{"name":'],
    ['a string cut short', '{"name": "Ad'],
    ['spaces only', '  \n '],
    ['a comma too many', '{"name": "Ada",}'],
    ['single quotes', "{'name': 'Ada'}"],
    ['a comment', '{} // none'],
    ['NaN', '{"name": NaN}'],
    ['two documents', '{} {}'],
    ['an unescaped control character', '{"name": "\u0001"}'],
    ['a byte order mark', '\ufeff{}'],
    ['a form', 'name=Ada'],
  ])('is refused as malformed: %s', (_case, body) =>
    expectRefusal(withBody(post(), body), 400, 'malformed-request'),
  );

  it('is refused when there is none', async () => {
    await expectRefusal(post(), 400, 'malformed-request');
    await expectRefusal(withBody(post(), ''), 400, 'malformed-request');
  });

  it.each(['[]', '[{}]', '"text"', '1', 'null', 'true'])(
    'is refused when it is %s instead of an object',
    (body) => expectRefusal(withBody(post(), body), 422, 'validation-failed', ''),
  );

  it.each([
    ['a stray byte', [0xff]],
    ['an overlong form', [0xc0, 0x80]],
    ['half of a surrogate pair', [0xed, 0xa0, 0x80]],
    ['a sequence cut short', [0xe2, 0x82]],
  ])('is refused when it is not UTF-8: %s', (_case, bytes) =>
    expectRefusal(
      withBody(post(), Buffer.concat([Buffer.from('{"name": "'), Buffer.from(bytes), Buffer.from('"}')])),
      400,
      'malformed-request',
    ),
  );

  it.each([
    'application/json; charset=utf-16',
    'application/json; charset="iso-8859-1"',
    'application/json-seq',
    'application/merge-patch+json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/plain',
    'text/json',
  ])('is refused as %s', (type) =>
    expectRefusal(withBody(post(), valid(), type), 415, 'unsupported-media-type'),
  );

  it('is refused without a media type', () =>
    expectRefusal(withBody(post(), valid()).unset('Content-Type'), 415, 'unsupported-media-type'));

  it('may name its charset', async () => {
    await withBody(post(), valid(), 'Application/JSON; charset="UTF-8"').expect(201);
  });

  it('may have 1 MiB, and not a byte more', async () => {
    await expectRefusal(withBody(post(), '[]'.padEnd(MEBIBYTE)), 422, 'validation-failed', '');
    await expectRefusal(withBody(post(), '[]'.padEnd(MEBIBYTE + 1)), 413, 'body-too-large');
  });

  it('may come compressed', async () => {
    await withBody(post().set('Content-Encoding', 'gzip'), gzipSync(valid())).expect(201);
  });

  it.each([
    ['not compressed', 'gzip', Buffer.from('{}'), 400, 'malformed-request'],
    ['cut short', 'gzip', gzipSync('{"name": "Ada"}').subarray(0, 20), 400, 'malformed-request'],
    ['brotli that is not', 'br', Buffer.from('garbage'), 400, 'malformed-request'],
    ['a small body that swells to 2 MiB', 'gzip', gzipSync('[]'.padEnd(2 * MEBIBYTE)), 413, 'body-too-large'],
    ['an encoding that nobody knows', 'snappy', Buffer.from('{}'), 415, 'unsupported-media-type'],
  ])('is refused when the compression is wrong: %s', (_case, encoding, body, status, code) =>
    expectRefusal(withBody(post().set('Content-Encoding', encoding), body), status, code),
  );

  it.each([
    ['arrays', '[', ']'],
    ['objects', '{"a":', '}'],
  ])('is refused when it nests 100,000 %s', async (_case, open, close) => {
    const nested = `${open.repeat(100_000)}1${close.repeat(100_000)}`;
    await expectRefusal(withBody(post(), nested), 400, 'malformed-request');
    await expectRefusal(withBody(post(), valid(`"metadata": ${nested}`)), 400, 'malformed-request');
    await expectRefusal(withBody(post(), valid(`"metadata": {"a": ${nested}}`)), 400, 'malformed-request');
    await expectRefusal(withBody(post(), open.repeat(100_000)), 400, 'malformed-request');
  });
});

describe('members that are not in the contract', () => {
  const names = ['admin', 'a/b~c', '', 'then', 'length'];
  /** Names that JavaScript objects have from birth: a library may drop them silently, or worse. */
  const reserved = ['__proto__', 'constructor', 'prototype', 'toString', 'valueOf', '__defineGetter__'];
  const token = (name: string) => name.replaceAll('~', '~0').replaceAll('/', '~1');

  it.each([...names, ...reserved])('%j is refused at every level', async (name) => {
    for (const value of ['1', '{"a": 1}', 'null']) {
      const member = `${JSON.stringify(name)}: ${value}`;
      const expectUnknown = (request: Test, body: string, parent: string) =>
        expectRefusal(withBody(request, body), 422, 'validation-failed', `${parent}/${token(name)}`);
      await expectUnknown(postUser(), userJson(member), '');
      await expectUnknown(register(), registrationJson(member), '');
      await expectUnknown(postOrder(), orderJson(member), '');
      await expectUnknown(postOrder(), orderJson('', lineJson(member)), '/lines/0');
      await expectUnknown(patchOrder(), `{${member}}`, '');
    }
  });

  it.each(reserved)('%j is refused as a name in metadata', async (name) => {
    const metadata = `"metadata": {${JSON.stringify(name)}: "x"}`;
    const pointer = `/metadata/${name}`;
    await expectRefusal(withBody(postOrder(), orderJson(metadata)), 422, 'validation-failed', pointer);
    await expectRefusal(withBody(patchOrder(), `{${metadata}}`), 422, 'validation-failed', pointer);
    const nested = `"metadata": {"a": {${JSON.stringify(name)}: "x"}}`;
    await expectRefusal(
      withBody(postOrder(), orderJson(nested)),
      422,
      'validation-failed',
      `/metadata/a/${name}`,
    );
  });

  it('every fault is told at once', () =>
    expectRefusal(
      withBody(postOrder(), '{"currency": "eur", "lines": [{"sku": "", "extra": 1}], "note": 1, "more": 2}'),
      422,
      'validation-failed',
      ...[
        '/currency',
        '/lines/0/sku',
        '/lines/0/name',
        '/lines/0/quantity',
        '/lines/0/unitPrice',
        '/lines/0/extra',
      ],
      ...['/note', '/more'],
    ));
});

describe('text that cannot be stored', () => {
  it.each([
    ['NUL', '\\u0000'],
    ['half of a surrogate pair, high', '\\ud800'],
    ['half of a surrogate pair, low', '\\udc00'],
    ['a surrogate pair the wrong way round', '\\udc00\\ud800'],
  ])('is refused wherever it stands: %s', async (_case, text) => {
    const bad = `"a${text}b"`;
    const expectPlace = (request: Test, body: string, pointer: string) =>
      expectRefusal(withBody(request, body), 422, 'validation-failed', pointer);
    await expectPlace(postUser(), `{"name": ${bad}, "email": "a@example.com"}`, '/name');
    await expectPlace(postUser(), `{"name": "Ada", "email": "a${text}@example.com"}`, '/email');
    await expectPlace(postUser(), userJson(`"password": "twelve ${text} characters"`), '/password');
    await expectPlace(postUser(), userJson(`${bad}: 1`), '');
    await expectPlace(postOrder(), orderJson(`"reference": ${bad}`), '/reference');
    await expectPlace(postOrder(), orderJson(`"note": ${bad}`), '/note');
    await expectPlace(postOrder(), orderJson(`"metadata": {"a": ${bad}}`), '/metadata/a');
    await expectPlace(postOrder(), orderJson(`"metadata": {${bad}: "a"}`), '/metadata');
    await expectPlace(postOrder(), orderJson('', lineJson(`"sku": ${bad}`)), '/lines/0/sku');
    await expectPlace(postOrder(), orderJson('', lineJson(`"name": ${bad}`)), '/lines/0/name');
    await expectPlace(patchOrder(), `{"note": ${bad}}`, '/note');
  });

  it.each(['%00', '%ed%a0%80', '%ff'])('is refused in the query: %s', async (text) => {
    for (const name of ['email', 'role']) {
      const request = service.send('get', `/v1/users?${name}=a${text}b`);
      await expectRefusal(request, 400, 'invalid-parameter', `?${name}`);
    }
    for (const name of ['reference', 'sku', 'userId', 'placedFrom', 'totalMin', 'cursor', 'limit']) {
      const request = service.send('get', `/v1/orders?${name}=a${text}b`);
      await expectRefusal(request, 400, 'invalid-parameter', `?${name}`);
    }
    const named = await service.send('get', `/v1/orders?sk${text}u=a`);
    expect([named.status, named.body.code]).toEqual([400, 'unknown-parameter']);
  });
});

describe('numbers', () => {
  it.each([
    '0',
    '-1',
    '1.5',
    '1e-3',
    '1e309',
    '-1e309',
    '1000001',
    '1e21',
    '"1"',
    'null',
    'true',
    '[1]',
    '{}',
    '""',
  ])('quantity %s is refused', (quantity) =>
    expectRefusal(
      withBody(postOrder(), orderJson('', lineJson(`"quantity": ${quantity}`))),
      422,
      'validation-failed',
      '/lines/0/quantity',
    ),
  );

  it.each(['-1', '9007199254740992', '1e309', '0.5', '"1"', 'null', 'false', '[]'])(
    'unitPrice and shipping %s are refused',
    async (amount) => {
      const line = lineJson(`"unitPrice": ${amount}`);
      await expectRefusal(
        withBody(postOrder(), orderJson(`"shipping": ${amount}`, line)),
        422,
        'validation-failed',
        '/lines/0/unitPrice',
        '/shipping',
      );
    },
  );

  it.each(['-1', '1000001', '0.1', 'null', '"0"'])('rates of %s are refused', (rate) =>
    expectRefusal(
      withBody(postOrder(), orderJson('', lineJson(`"discountPpm": ${rate}, "taxPpm": ${rate}`))),
      422,
      'validation-failed',
      '/lines/0/discountPpm',
      '/lines/0/taxPpm',
    ),
  );

  it('an infinite number anywhere is refused, not an error of the service', async () => {
    await expectRefusal(withBody(postOrder(), orderJson('"more": 1e400')), 422, 'validation-failed', '/more');
    await expectRefusal(
      withBody(postUser(), userJson('"more": [-1e400]')),
      422,
      'validation-failed',
      '/more/0',
    );
    const keyed = withBody(postUser().set('Idempotency-Key', randomUUID()), userJson('"name": 1e400'));
    await expectRefusal(keyed, 422, 'validation-failed', '/name');
  });

  it('minus zero is zero', async () => {
    const response = await withBody(
      postOrder(),
      orderJson('"shipping": -0', lineJson('"unitPrice": -0')),
    ).expect(201);
    expect(response.body).toMatchObject({ total: 0, paymentStatus: 'not_required' });
    expect(response.text).not.toContain(':-0');
  });

  it.each([
    ['a product', '', `"quantity": 2, "unitPrice": ${MAX_AMOUNT}`],
    ['the largest product', '', `"quantity": 1000000, "unitPrice": ${MAX_AMOUNT}`],
    ['tax on top', '', `"unitPrice": ${MAX_AMOUNT}, "taxPpm": 1`],
    ['shipping on top', '"shipping": 1', `"unitPrice": ${MAX_AMOUNT}`],
  ])('a total past 2^53 - 1 is refused: %s', (_case, members, line) =>
    expectRefusal(withBody(postOrder(), orderJson(members, lineJson(line))), 422, 'money-overflow'),
  );

  it('a sum of lines past 2^53 - 1 is refused', () =>
    expectRefusal(
      withBody(postOrder(), orderJson('', `${lineJson(`"unitPrice": ${MAX_AMOUNT}`)}, ${lineJson()}`)),
      422,
      'money-overflow',
    ));

  it('a total of exactly 2^53 - 1 is kept to the unit', async () => {
    const line = lineJson(`"unitPrice": ${MAX_AMOUNT - 1}`);
    const response = await withBody(postOrder(), orderJson('"shipping": 1', line)).expect(201);
    expect(response.body.total).toBe(MAX_AMOUNT);
    const read = await service.send('get', `/v1/orders?totalMin=${MAX_AMOUNT}`).expect(200);
    expect(read.body.data).toEqual([response.body]);
  });
});

describe('what an order consists of', () => {
  it.each(['"eur"', '"EURO"', '"ZZZ"', '"Eur"', '" EUR"', '"€"', '""', 'null', '978', '["EUR"]'])(
    'currency %s is refused',
    (currency) =>
      expectRefusal(
        withBody(postOrder(), orderJson(`"currency": ${currency}`)),
        422,
        'validation-failed',
        '/currency',
      ),
  );

  it.each(['[]', '{}', '"A"', '1', 'null', '[1]', '[null]', '[[]]', '["A"]', '{"0": {}, "length": 1}'])(
    'lines %s are refused',
    async (value) => {
      const response = await withBody(postOrder(), orderJson(`"lines": ${value}`)).expect(422);
      expect(response.body.code).toBe('validation-failed');
      for (const { pointer } of response.body.errors as Fault[]) expect(pointer).toMatch(/^\/lines/);
    },
  );

  it('200 lines are kept in their order, 201 are refused', async () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ ...lines[0], sku: `SKU-${index}` }));
    const placed = await placeOrder(service, user.id, { lines: many(200) });
    expect((placed['lines'] as { sku: string }[]).map(({ sku }) => sku)).toEqual(
      many(200).map(({ sku }) => sku),
    );
    const tooMany = { userId: user.id, currency: 'EUR', lines: many(201) };
    await expectRefusal(postOrder().send(tooMany), 422, 'validation-failed', '/lines');
  });

  it.each([
    ['null', () => null],
    ['a number', () => 1],
    ['malformed', () => 'me'],
    ['of nobody', () => UNKNOWN_ID],
    ['the nil UUID', () => '00000000-0000-0000-0000-000000000000'],
    ['the id of an order', () => order.id],
    ['an id in braces', () => `{${user.id}}`],
    ['an id without hyphens', () => user.id.replaceAll('-', '')],
  ])('a userId is refused that is %s', (_case, userId) =>
    expectRefusal(
      postOrder().send({ userId: userId(), currency: 'EUR', lines }),
      422,
      'validation-failed',
      '/userId',
    ),
  );

  it.each([
    '"2026-02-30T00:00:00Z"',
    '"2025-02-29T00:00:00Z"',
    '"2026-04-31T12:00:00Z"',
    '"2026-13-01T00:00:00Z"',
    '"2026-01-01T25:00:00Z"',
    '"2026-01-01T24:00:00Z"',
    '"2026-01-01T00:60:00Z"',
    '"2026-01-01T00:00:00"',
    '"2026-01-01"',
    '"2026-01-01 00:00:00Z"',
    '"0000-01-01T00:00:00Z"',
    '"0001-01-01T00:00:00+14:00"',
    '"2026-01-01T00:00:00+99:00"',
    '"2026-01-01T00:00:00+24:00"',
    '"2026-01-01T00:00:00+00:60"',
    '"+002026-01-01T00:00:00Z"',
    '"10000-01-01T00:00:00Z"',
    '"9999-12-31T23:59:59Z"',
    '"yesterday"',
    '""',
    '1767225600000',
    'null',
  ])('placedAt %s is refused', (placedAt) =>
    expectRefusal(
      withBody(postOrder(), orderJson(`"placedAt": ${placedAt}`)),
      422,
      'validation-failed',
      '/placedAt',
    ),
  );

  it.each([
    ['2024-02-29T23:59:59.999Z', '2024-02-29T23:59:59.999Z'],
    ['2026-01-01t00:00:00z', '2026-01-01T00:00:00.000Z'],
    ['2026-01-01T00:00:00+14:00', '2025-12-31T10:00:00.000Z'],
    ['2025-12-31T10:00:00-14:00', '2026-01-01T00:00:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['2026-01-01T00:00:00.123456789Z', '2026-01-01T00:00:00.123Z'],
  ])('placedAt %s is kept as %s', async (given, kept) => {
    const placed = await placeOrder(service, user.id, { placedAt: given });
    expect(placed['placedAt']).toBe(kept);
    const read = await service.send('get', `/v1/orders/${placed.id}`).expect(200);
    expect(read.body.placedAt).toBe(kept);
  });
});

describe('lengths count characters, not UTF-16 units', () => {
  const long = (text: string, length: number) => text.repeat(length / [...text].length);

  it.each([
    ['letters', 'a'],
    ['emoji outside the basic plane', '🍵'],
    ['emoji with a variation selector', '☕\ufe0f'],
    ['a family of joined emoji', '👩\u200d👧\u200d👦👧'],
  ])('a name has 200 of them at most: %s', async (_case, text) => {
    const name = long(text, 200 - (200 % [...text].length)).padEnd(0);
    const padded = name + 'x'.repeat(200 - [...name].length);
    expect((await createUser(service, { name: padded })).name).toBe(padded);
    await expectRefusal(
      postUser().send({ name: `${padded}x`, email: 'a@example.com' }),
      422,
      'validation-failed',
      '/name',
    );
  });

  it.each([
    ['reference', 100],
    ['note', 2_000],
  ])('%s of an order has %i at most', async (member, limit) => {
    const text = '🍵'.repeat(limit);
    expect(await placeOrder(service, user.id, { [member]: text })).toMatchObject({ [member]: text });
    await expectRefusal(
      postOrder().send({ userId: user.id, currency: 'EUR', lines, [member]: `${text}x` }),
      422,
      'validation-failed',
      `/${member}`,
    );
  });

  it.each([
    ['sku', 64],
    ['name', 200],
  ])('%s of a line has 1 to %i', async (member, limit) => {
    const line = (text: string) => ({
      userId: user.id,
      currency: 'EUR',
      lines: [{ ...lines[0], [member]: text }],
    });
    await postOrder()
      .send(line('🍵'.repeat(limit)))
      .expect(201);
    for (const text of ['', 'x'.repeat(limit + 1), '🍵'.repeat(limit + 1)]) {
      await expectRefusal(postOrder().send(line(text)), 422, 'validation-failed', `/lines/0/${member}`);
    }
  });

  it.each([
    ['name', ''],
    ['name', 5],
    ['name', null],
    ['name', ['Ada']],
    ['email', ''],
    ['email', 'ada'],
    ['email', 'ada@'],
    ['email', '@example.com'],
    ['email', 'a b@example.com'],
    ['email', 'Ada <ada@example.com>'],
    ['email', `${'a'.repeat(60)}@${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(63)}.com`],
    ['email', null],
    ['email', ['ada@example.com']],
    ['role', 'Admin'],
    ['role', 'root'],
    ['role', 1],
    ['role', null],
    ['password', 'eleven char'],
    ['password', 'x'.repeat(129)],
    ['password', '🍵'.repeat(129)],
    ['password', 123_456_789_012],
    ['password', null],
    ['status', 'suspended'],
    ['id', UNKNOWN_ID],
    ['version', 1],
  ])('%s of a user is refused when it is %j', (member, value) =>
    expectRefusal(
      postUser().send({ name: 'Ada', email: 'ada-long@example.com', [member]: value }),
      422,
      'validation-failed',
      `/${member}`,
    ),
  );

  it('a password has 12 to 128', async () => {
    await createUser(service, { password: 'tea🍵cup🍵pot🍵' });
    await createUser(service, { password: `the tea is in the pot${'🍵'.repeat(107)}` });
  });

  it.each([
    ['too few once composed', 'e\u0301a\u0300o\u0308'.repeat(3)],
    ['too many once compatible', '\ufdfa is a whole sentence '.repeat(5)],
  ])('a password is measured in its normal form: %s', async (_case, password) => {
    const response = await postUser()
      .send({ name: 'Ada', email: 'ada-long@example.com', password })
      .expect(422);
    expect(response.body.errors).toEqual([expect.objectContaining({ pointer: '/password', code: 'length' })]);
  });
});

describe('passwords that are easily guessed', () => {
  const email = 'Ada.Lovelace@example.com';
  const common = [
    ...['password1234', 'PassWordPassWord', '1qaz2wsx3edc', '!!qwertyuiop99'],
    ...['x'.repeat(12), '🍵'.repeat(128), 'abcabcabcabcabc', '123456789012', 'abcdefghijklm', '210987654321'],
    ...[
      email,
      email.toUpperCase(),
      'ADA.Lovelace',
      '1815 Ada.Lovelace!!',
      'ada.lovelaceada.lovelace',
      '１２３４５６７８９０１２',
    ],
  ];

  it.each(common)('%s is refused, wherever it is set', async (password) => {
    const fault = (pointer: string) => [expect.objectContaining({ pointer, code: 'common-password' })];
    const creation = { name: 'Ada', email, password };
    for (const request of [postUser(), register()]) {
      const refused = await request.send(creation).expect(422);
      expect(refused.body.errors).toEqual(fault('/password'));
    }
    const { body: user } = await register()
      .send({
        ...creation,
        email: email.replace('@', `@${randomUUID()}.`),
        password: 'the tea is in the pot',
      })
      .expect(201);
    const issued = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
    const own = password.replace(/@.*/, `@${user.email.split('@')[1]}`);
    const reset = await postAuth('password')
      .send({ resetToken: issued.body.resetToken, newPassword: own })
      .expect(422);
    expect(reset.body.errors).toEqual(fault('/newPassword'));
  });
});

describe('bodies of sign-in', () => {
  it.each([
    ['login', {}, ['/email', '/password']],
    ['login', { email: 'ada@example.com', password: '' }, ['/password']],
    ['login', { email: ['ada@example.com'], password: { text: 'x' } }, ['/email', '/password']],
    ['login', { email: 'a'.repeat(255), password: 'x'.repeat(129) }, ['/email', '/password']],
    ['login', { email: 'ada@example.com', password: 'x', remember: true }, ['/remember']],
    ['register', { name: 'Ada' }, ['/email', '/password']],
    ['register', { name: '', email: 'ada', password: 'eleven char' }, ['/email', '/name', '/password']],
    ['refresh', {}, ['/refreshToken']],
    ['refresh', { refreshToken: null }, ['/refreshToken']],
    ['refresh', { refreshToken: 'x'.repeat(201) }, ['/refreshToken']],
    ['password', {}, ['/newPassword']],
    ['password', { newPassword: 'the tea is in the pot' }, ['']],
    ['password', { newPassword: 'the tea is in the pot', currentPassword: 'x', resetToken: 'x' }, ['']],
    ['password', { newPassword: 'eleven char', resetToken: null }, ['/newPassword', '/resetToken']],
  ])('%s refuses %j', (route, body, places) =>
    expectRefusal(postAuth(route).send(body), 422, 'validation-failed', ...places),
  );

  it.each([{ role: 'admin' }, { status: 'active' }, { id: UNKNOWN_ID }, { version: 1 }])(
    'nobody registers with %j',
    (member) =>
      expectRefusal(
        withBody(register(), JSON.stringify({ ...(JSON.parse(registrationJson()) as object), ...member })),
        422,
        'validation-failed',
        `/${Object.keys(member)[0]}`,
      ),
  );

  it.each([undefined, null, 1, 'me', UNKNOWN_ID])('no reset token is issued for %j', (userId) =>
    expectRefusal(
      service.send('post', '/v1/auth/reset-tokens').send({ userId }),
      422,
      'validation-failed',
      '/userId',
    ),
  );

  it.each(['', 'x', randomUUID(), 'A'.repeat(86)])(
    '%j is no refresh token and no reset token',
    async (text) => {
      const sent = [
        postAuth('refresh').send({ refreshToken: `${text}_` }),
        postAuth('password').send({ resetToken: `${text}_`, newPassword: 'the tea is in the pot' }),
      ];
      for (const request of sent) await expectRefusal(request, 401, 'unauthenticated');
    },
  );
});

describe('metadata', () => {
  const members = (count: number, text = 'x') =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, text]));

  it('takes 50 members of 500 characters', async () => {
    const metadata = members(50, '🍵'.repeat(500));
    expect((await placeOrder(service, user.id, { metadata })).metadata).toEqual(metadata);
    await placeOrder(service, user.id, { metadata: { ['n'.repeat(100)]: '' } });
  });

  it.each([
    ['51 members', members(51)],
    ['501 characters', { a: 'x'.repeat(501) }],
    ['501 characters outside the basic plane', { a: '🍵'.repeat(501) }],
    ['a name of 101 characters', { ['n'.repeat(101)]: 'x' }],
    ['a name of none', { '': 'x' }],
    ['a number', { a: 1 }],
    ['a boolean', { a: true }],
    ['null', { a: null }],
    ['an object in it', { a: { b: 'c' } }],
    ['an array in it', { a: ['b'] }],
    ['an array', ['a']],
    ['a text', 'a'],
  ])('is refused with %s', (_case, metadata) =>
    expectRefusal(
      postOrder().send({ userId: user.id, currency: 'EUR', lines, metadata }),
      422,
      'validation-failed',
      '/metadata',
    ),
  );

  it('is refused as null when placing', () =>
    expectRefusal(
      postOrder().send({ userId: user.id, currency: 'EUR', lines, metadata: null }),
      422,
      'validation-failed',
      '/metadata',
    ));

  it('a patch cannot make it larger than 50 members', async () => {
    const { id } = await placeOrder(service, user.id, { metadata: members(50) });
    const patch = (metadata: object) =>
      service.send('patch', `/v1/orders/${id}`).set('If-Match', '*').send({ metadata });
    await expectRefusal(patch({ another: 'x' }), 422, 'validation-failed', '/metadata');
    await patch({ another: 'x', m0: null }).expect(200);
  });

  it.each([
    ['a number', { a: 1 }],
    ['an object in it', { a: { b: 'c' } }],
    ['an array', []],
    ['501 characters', { a: 'x'.repeat(501) }],
  ])('a patch of it is refused with %s', (_case, metadata) =>
    expectRefusal(patchOrder().send({ metadata }), 422, 'validation-failed', '/metadata'),
  );
});

describe('ids in the path', () => {
  const routes = [
    ['get', '/v1/users/ID'],
    ['get', '/v1/users/ID/events'],
    ['patch', '/v1/users/ID'],
    ['get', '/v1/orders/ID'],
    ['get', '/v1/orders/ID/events'],
    ['get', '/v1/orders/ID?version=1'],
    ['patch', '/v1/orders/ID'],
    ['post', '/v1/orders/ID/cancel'],
    ['get', '/v1/audit/events/ID'],
  ] as const;
  const garbage = [
    'x',
    '0',
    '-',
    'null',
    '%20',
    '%00',
    '%ff',
    '%',
    '%zz',
    '%e2%82',
    '..%2f',
    '..%2f..%2fhealth',
    'a%2fb',
  ];

  it.each(routes)('%s %s answers 404 with the same body for all that lead nowhere', async (method, path) => {
    const foreign = path.startsWith('/v1/users') ? order.id : user.id;
    const ids = [UNKNOWN_ID, foreign, `{${user.id}}`, `${user.id}x`, ...garbage];
    const bodies = new Set<string>();
    for (const id of ids) {
      const request = service.send(method, path.replace('ID', id));
      if (method === 'patch') request.set('If-Match', '*').send({});
      const before = await countRows();
      const response = await request.expect(404);
      bodies.add(JSON.stringify({ ...response.body, instance: '' }));
      expect(await countRows()).toEqual(before);
    }
    expect(bodies.size).toBe(1);
    expect([...bodies][0]).toContain('"code":"not-found"');
  });

  it('may be written in upper case', async () => {
    const { id } = await placeOrder(service, user.id.toUpperCase(), {});
    const read = await service.send('get', `/v1/orders/${id.toUpperCase()}`).expect(200);
    expect(read.body).toMatchObject({ id, userId: user.id });
    await service.send('get', `/v1/users/${user.id.toUpperCase()}`).expect(200);
    const list = await service.send('get', `/v1/orders?userId=${user.id.toUpperCase()}&limit=1`).expect(200);
    expect(list.body.data[0].id).toBe(id);
    const history = await service.send('get', `/v1/orders/${id.toUpperCase()}/events`).expect(200);
    const [{ id: eventId }] = history.body.data as [{ id: string }];
    await service.send('get', `/v1/audit/events/${eventId.toUpperCase()}`).expect(200);
    await service.send('post', `/v1/orders/${id.toUpperCase()}/cancel`).expect(200);
  });
});

describe('the query', () => {
  const takesNone = () =>
    [
      ['post', '/v1/users'],
      ['get', `/v1/users/${user.id}`],
      ['patch', `/v1/users/${user.id}`],
      ['post', '/v1/orders'],
      ['patch', `/v1/orders/${order.id}`],
      ['post', `/v1/orders/${order.id}/cancel`],
      ['get', `/v1/audit/events/${UNKNOWN_ID}`],
    ] as const;
  const takesSome = () => [
    '/v1/users',
    `/v1/users/${user.id}/events`,
    '/v1/orders',
    `/v1/orders/${order.id}`,
    `/v1/orders/${order.id}/events`,
    '/v1/audit/events',
    '/v1/audit/integrity',
  ];
  const unknown = ['versoin', 'limit[]', '__proto__', 'constructor', 'toString'];

  it.each(unknown)('is refused with the unknown parameter %s, on every route', async (name) => {
    for (const [method, path] of takesNone()) {
      const request = service.send(method, `${path}?${name}=3`);
      request.set('If-Match', '*').set('Idempotency-Key', randomUUID());
      await expectRefusal(request, 400, 'unknown-parameter', `?${name}`);
    }
    for (const path of takesSome()) {
      await expectRefusal(service.send('get', `${path}?${name}=3`), 400, 'unknown-parameter', `?${name}`);
    }
  });

  it('is refused with a parameter that is given twice', async () => {
    for (const [path, name] of [
      ['/v1/users', 'role=admin'],
      ['/v1/users', 'email=a@example.com'],
      ['/v1/users', 'limit=1'],
      [`/v1/users/${user.id}/events`, 'limit=1'],
      ['/v1/orders', 'status=placed'],
      ['/v1/orders', `userId=${user.id}`],
      ['/v1/orders', 'totalMin=0'],
      [`/v1/orders/${order.id}`, 'version=1'],
      [`/v1/orders/${order.id}/events`, 'cursor=x'],
      ['/v1/audit/events', 'action=order.placed'],
    ] as const) {
      const parameter = `?${name.split('=')[0] ?? ''}`;
      const request = service.send('get', `${path}?${name}&${name}`);
      await expectRefusal(request, 400, 'invalid-parameter', parameter);
    }
  });

  it.each([
    '0',
    '101',
    '-1',
    '1.5',
    '1e1',
    '0x10',
    '',
    ' 5',
    '+5',
    '05x',
    '٥',
    'NaN',
    'Infinity',
    '9'.repeat(20),
  ])('limit %j is refused on every list', async (limit) => {
    for (const path of takesSome().filter((each) => each !== `/v1/orders/${order.id}`)) {
      const request = service.send('get', `${path}?limit=${encodeURIComponent(limit)}`);
      await expectRefusal(request, 400, 'invalid-parameter', '?limit');
    }
  });

  it.each([
    '2026-02-30T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T23:59:60Z',
    '2026-01-01T00:00:00',
    '2026-01-01',
    '2026-01-01T00:00Z',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
    '2026-01-01T00:00:00+16:00',
    '2026-01-01T00:00:00-23:59',
    '2026-01-01T00:00:00+0100',
    '2026-01-01T00:00:00 01:00',
    '-2026-01-01T00:00:00Z',
    'now',
    'infinity',
    '',
  ])('the instant %j is refused', async (instant) => {
    for (const [path, name] of [
      ['/v1/orders', 'placedFrom'],
      ['/v1/orders', 'placedTo'],
      ['/v1/audit/events', 'from'],
      ['/v1/audit/events', 'to'],
      [`/v1/orders/${order.id}`, 'asOf'],
    ] as const) {
      const request = service.send('get', `${path}?${name}=${encodeURIComponent(instant)}`);
      await expectRefusal(request, 400, 'invalid-parameter', `?${name}`);
    }
  });

  it.each([
    '0001-01-01T00:00:00Z',
    '0001-01-01T14:00:00+14:00',
    '9999-12-31T23:59:59.999999999Z',
    '9999-12-31T09:59:59-14:00',
    '2024-02-29t23:59:59z',
    '2026-01-01T00:00:00+15:59',
    '2026-01-01T00:00:00-15:59',
    '2026-01-01T00:00:00.123456789Z',
  ])('the instant %s is taken', async (instant) => {
    const text = encodeURIComponent(instant);
    await service.send('get', `/v1/orders?placedFrom=${text}&placedTo=${text}`).expect(200, /"data":\[\]/);
    await service.send('get', `/v1/audit/events?from=${text}&to=${text}`).expect(200, /"data":\[\]/);
  });

  it.each([
    ['/v1/users', 'email', ''],
    ['/v1/users', 'email', 'x'.repeat(255)],
    ['/v1/users', 'role', 'Admin'],
    ['/v1/users', 'role', ''],
    ['/v1/users', 'status', 'placed'],
    ['/v1/orders', 'userId', 'me'],
    ['/v1/orders', 'userId', ''],
    ['/v1/orders', 'status', 'shipped'],
    ['/v1/orders', 'paymentStatus', 'PAID'],
    ['/v1/orders', 'fulfillmentStatus', 'none'],
    ['/v1/orders', 'currency', 'eur'],
    ['/v1/orders', 'reference', ''],
    ['/v1/orders', 'reference', 'x'.repeat(101)],
    ['/v1/orders', 'sku', 'x'.repeat(65)],
    ['/v1/orders', 'totalMin', '-1'],
    ['/v1/orders', 'totalMin', '1.5'],
    ['/v1/orders', 'totalMax', '9007199254740992'],
    ['/v1/orders', 'totalMax', '1e3'],
    ['/v1/audit/events', 'subjectType', 'Order'],
    ['/v1/audit/integrity', 'subjectType', 'Order'],
    ['/v1/audit/integrity', 'subjectType', 'orders'],
    ['/v1/audit/integrity', 'limit', '101'],
    ['/v1/audit/events', 'subjectId', '1'],
    ['/v1/audit/events', 'actorId', 'system'],
    ['/v1/audit/events', 'action', 'placed'],
    ['/v1/audit/events', 'action', "order.placed'--"],
  ])('%s?%s=%s is refused', (path, name, value) =>
    expectRefusal(service.send('get', `${path}?${name}=${value}`), 400, 'invalid-parameter', `?${name}`),
  );

  it('an order has no version 0, none past 2^31 and no future', async () => {
    const get = (query: string) => service.send('get', `/v1/orders/${order.id}?${query}`);
    for (const version of ['0', '-1', '1.0', '2147483648', 'latest', '']) {
      await expectRefusal(get(`version=${version}`), 400, 'invalid-parameter', '?version');
    }
    await expectRefusal(get('version=2147483647'), 404, 'not-found');
    await expectRefusal(get('asOf=9999-01-01T00:00:00Z'), 400, 'invalid-parameter', '?asOf');
    await expectRefusal(get('asOf=2000-01-01T00:00:00Z'), 404, 'not-found');
    await expectRefusal(get('version=1&asOf=2026-01-01T00:00:00Z'), 400, 'invalid-parameter', '?asOf');
  });

  it('is told all its faults at once', () =>
    expectRefusal(
      service.send('get', '/v1/orders?limit=0&status=x&currency=x&placedTo=x'),
      400,
      'invalid-parameter',
      ...['?limit', '?status', '?currency', '?placedTo'],
    ));
});

describe('cursors', () => {
  let cursors: Record<'users' | 'orders' | 'events' | 'history' | 'filtered', string>;
  const get = (path: string, cursor: string) =>
    service.send('get', `${path}cursor=${encodeURIComponent(cursor)}`);
  const expectForeign = (path: string, cursor: string) =>
    expectRefusal(get(path, cursor), 400, 'invalid-cursor', '?cursor');

  beforeAll(async () => {
    const { id } = await placeOrder(service, user.id);
    await service.send('post', `/v1/orders/${id}/cancel`).expect(200);
    const first = async (path: string) => {
      const response = await service.send('get', path).expect(200);
      return response.body.nextCursor as string;
    };
    cursors = {
      users: await first('/v1/users?limit=1'),
      orders: await first('/v1/orders?limit=1'),
      events: await first('/v1/audit/events?limit=1'),
      history: await first(`/v1/orders/${id}/events?limit=1`),
      filtered: await first('/v1/orders?limit=1&currency=EUR'),
    };
    for (const cursor of Object.values(cursors)) expect(cursor).toMatch(/^[\w-]{20,}$/);
  });

  it('work with another limit, and with the filters in another order', async () => {
    await get('/v1/orders?limit=5&', cursors.orders).expect(200);
    const cursor = (await service.send('get', '/v1/orders?limit=1&currency=EUR&status=placed')).body
      .nextCursor;
    await get('/v1/orders?status=placed&currency=EUR&', cursor as string).expect(200);
  });

  it('of another list are refused', async () => {
    await expectForeign('/v1/users?', cursors.orders);
    await expectForeign('/v1/orders?', cursors.users);
    await expectForeign('/v1/audit/events?', cursors.users);
    await expectForeign('/v1/orders?', cursors.events);
    await expectForeign('/v1/audit/integrity?', cursors.events);
    await expectForeign(`/v1/orders/${order.id}/events?`, cursors.history);
    await expectForeign(`/v1/users/${user.id}/events?`, cursors.history);
  });

  it('of other filters are refused', async () => {
    await expectForeign('/v1/orders?', cursors.filtered);
    await expectForeign('/v1/orders?currency=USD&', cursors.filtered);
    await expectForeign('/v1/orders?currency=EUR&status=placed&', cursors.filtered);
    await expectForeign('/v1/orders?currency=EUR&', cursors.orders);
  });

  it('that were tampered with are refused, whichever bit it is', async () => {
    const bytes = Buffer.from(cursors.orders, 'base64url');
    for (let index = 0; index < bytes.length; index++) {
      const tampered = Buffer.from(bytes);
      tampered.writeUInt8(tampered.readUInt8(index) ^ 1, index);
      await expectForeign('/v1/orders?', tampered.toString('base64url'));
    }
  });

  it('that are cut short, lengthened or garbage are refused', async () => {
    const cursor = cursors.orders;
    for (const garbage of [
      cursor.slice(0, -1),
      cursor.slice(0, 22),
      cursor.slice(1),
      `${cursor}A`,
      `${cursor}=`,
    ]) {
      await expectForeign('/v1/orders?', garbage);
    }
    for (const garbage of ['x', '0', '====', ` ${cursor}`, 'A'.repeat(1_000), '🍵', user.id, "' OR 1=1 --"]) {
      await expectForeign('/v1/orders?', garbage);
    }
    for (const garbage of ['', 'A'.repeat(1_001)]) {
      await expectRefusal(get('/v1/orders?', garbage), 400, 'invalid-parameter', '?cursor');
    }
  });
});

describe('what exists already', () => {
  it('a taken e-mail address is refused in another case, and stays free after a refusal', async () => {
    await createUser(service, { email: 'Taken.Once@Example.com' });
    const second = () => postUser().send({ name: 'Second', email: 'tAKEN.oNCE@eXAMPLE.COM' });
    await expectRefusal(second(), 409, 'already-exists');
    const patch = service.send('patch', `/v1/users/${user.id}`).set('If-Match', '*');
    await expectRefusal(patch.send({ email: 'TAKEN.ONCE@example.com' }), 409, 'already-exists');
  });

  it('a reference that the user has given before is refused', async () => {
    await placeOrder(service, user.id, { reference: 'ONCE' });
    const again = postOrder().send({ userId: user.id, currency: 'EUR', lines, reference: 'ONCE' });
    await expectRefusal(again, 409, 'already-exists');
    await placeOrder(service, (await createUser(service)).id, { reference: 'ONCE' });
  });
});

describe('idempotency keys', () => {
  const place = (key?: string) => {
    const request = service.send('post', '/v1/orders').send({ userId: user.id, currency: 'EUR', lines });
    return key === undefined ? request : request.set('Idempotency-Key', key);
  };

  it('are required where an order is placed', () => expectRefusal(place(), 400, 'idempotency-key-missing'));

  it.each([
    ['empty', ''],
    ['empty between quotes', '""'],
    ['256 characters', 'k'.repeat(256)],
    ['256 characters between quotes', `"${'k'.repeat(256)}"`],
    ['beyond ASCII', 'clé'],
    ['a tabulator', 'a\tb'],
  ])('are refused when they are %s', async (_case, key) => {
    await expectRefusal(place(key), 400, 'malformed-request');
    const optional = postUser().send({ name: 'Ada', email: `${randomUUID()}@example.com` });
    await expectRefusal(optional.set('Idempotency-Key', key), 400, 'malformed-request');
  });

  it('are the same, quoted or bare', async () => {
    for (const [bare, quoted] of [
      [randomUUID(), (key: string) => `"${key}"`],
      ['k'.repeat(255), (key: string) => `"${key}"`],
      [`a"b\\c ${randomUUID()}`, (key: string) => `"${key.replace(/["\\]/g, '\\$&')}"`],
    ] as const) {
      const first = await place(bare).expect(201);
      expect(first.get('Idempotency-Replayed')).toBeUndefined();
      const before = await countRows();
      const second = await place(quoted(bare)).expect(201);
      expect(second.get('Idempotency-Replayed')).toBe('true');
      expect(second.text).toBe(first.text);
      expect(await countRows()).toEqual(before);
    }
  });

  it('are refused with another request', async () => {
    const key = randomUUID();
    await place(key).expect(201);
    const other = service.send('post', '/v1/orders').set('Idempotency-Key', key);
    await expectRefusal(
      other.send({ userId: user.id, currency: 'USD', lines }),
      422,
      'idempotency-key-reused',
    );
    const elsewhere = postUser().set('Idempotency-Key', key);
    await expectRefusal(
      elsewhere.send({ name: 'Ada', email: `${randomUUID()}@example.com` }),
      422,
      'idempotency-key-reused',
    );
    const cancel = service.send('post', `/v1/orders/${order.id}/cancel`).set('Idempotency-Key', key);
    await expectRefusal(cancel, 422, 'idempotency-key-reused');
  });

  it('stay free after a refusal', async () => {
    const key = randomUUID();
    const refused = service.send('post', '/v1/orders').set('Idempotency-Key', key);
    await expectRefusal(
      refused.send({ userId: UNKNOWN_ID, currency: 'EUR', lines }),
      422,
      'validation-failed',
      '/userId',
    );
    const placed = await place(key).expect(201);
    expect(placed.get('Idempotency-Replayed')).toBeUndefined();
  });
});

describe('headers', () => {
  it.each(['abc', '1', '"1', '1"', '"1" "2"', '"1",', ',"1"', 'w/"1"', '"1", *', '', "'1'"])(
    'If-Match %j is refused',
    async (tag) => {
      const patch = service.send('patch', `/v1/orders/${order.id}`).send({ note: 'x' });
      await expectRefusal(patch.set('If-Match', tag), 400, 'malformed-request');
      const user1 = service.send('patch', `/v1/users/${user.id}`).send({ name: 'x' });
      await expectRefusal(user1.set('If-Match', tag), 400, 'malformed-request');
      const cancel = service.send('post', `/v1/orders/${order.id}/cancel`);
      await expectRefusal(cancel.set('If-Match', tag), 400, 'malformed-request');
    },
  );

  it.each([
    'text/html',
    'application/xml',
    'application/json;q=0',
    '*/*;q=0',
    'text/*',
    'image/png, text/plain;q=0.5',
  ])('Accept: %s is refused', async (accept) => {
    const routes = [
      '/v1/users',
      `/v1/users/${user.id}`,
      '/v1/orders',
      `/v1/orders/${order.id}`,
      '/v1/audit/events',
    ];
    for (const path of routes) {
      await expectRefusal(service.send('get', path).set('Accept', accept), 406, 'not-acceptable');
    }
    await expectRefusal(withBody(postUser().set('Accept', accept), userJson()), 406, 'not-acceptable');
    await expectRefusal(withBody(postOrder().set('Accept', accept), orderJson()), 406, 'not-acceptable');
  });

  it.each([
    '*/*',
    'application/*',
    'application/json',
    'text/html, */*;q=0.1',
    'application/problem+json',
    '',
  ])('Accept: %s is served with JSON', async (accept) => {
    await service
      .send('get', '/v1/users')
      .set('Accept', accept)
      .expect(200)
      .expect('Content-Type', /^application\/json/);
  });
});

describe('routes', () => {
  it.each([
    '/v1',
    '/v1/',
    '/v2/users',
    '/v1/user',
    '/v1/orders/x/y/z',
    '/v1/orders//',
    '/%ff',
    '/V1/nothing',
    '/health',
  ])('%s is not found, whatever is sent to it', async (path) => {
    await expectRefusal(service.send('get', path), 404, 'not-found');
    await expectRefusal(withBody(service.send('post', path), '{"garbage', 'text/plain'), 404, 'not-found');
    await expectRefusal(service.send('delete', path).set('Accept', 'text/html'), 404, 'not-found');
  });

  it.each([
    ['put', '/v1/users', 'GET, HEAD, POST'],
    ['delete', '/v1/users/x', 'GET, HEAD, PATCH'],
    ['post', '/v1/users/x', 'GET, HEAD, PATCH'],
    ['patch', '/v1/orders', 'GET, HEAD, POST'],
    ['options', '/v1/orders', 'GET, HEAD, POST'],
    ['get', '/v1/orders/x/cancel', 'POST'],
    ['head', '/v1/orders/x/cancel', 'POST'],
    ['post', '/v1/orders/x/events', 'GET, HEAD'],
    ['delete', '/v1/audit/events/x', 'GET, HEAD'],
    ['post', '/health/live', 'GET, HEAD'],
  ] as const)('%s %s is not allowed', async (method, path, allow) => {
    const response = await service.send(method, path).expect(405);
    const methods = (response.get('Allow') ?? '').split(', ').sort();
    expect(methods).toEqual(allow.split(', '));
    expect(response.type).toBe('application/problem+json');
    if (method !== 'head') expect(response.body).toMatchObject({ code: 'method-not-allowed', status: 405 });
  });

  it('a body that a GET carries is not looked at', async () => {
    for (const path of ['/v1/users', `/v1/orders/${order.id}`, '/v1/audit/events']) {
      await service.send('get', path).send({ role: 'admin', limit: 0 }).expect(200);
      await withBody(service.send('get', path), '{"garbage', 'text/plain').expect(200);
    }
  });

  it('HEAD answers as GET does, without a body', async () => {
    for (const path of ['/v1/users?limit=1', `/v1/users/${user.id}`, `/v1/orders/${order.id}`]) {
      const get = await service.send('get', path).expect(200);
      const head = await service.send('head', path).expect(200);
      for (const name of ['Content-Type', 'Content-Length', 'ETag', 'Link'])
        expect(head.get(name)).toBe(get.get(name));
      expect(head.text).toBeFalsy();
    }
    await service.send('head', `/v1/orders/${UNKNOWN_ID}`).expect(404);
  });
});

describe('on the wire', () => {
  const address = () => ({ host: '127.0.0.1', port: Number(new URL(service.url).port) });

  /** Sends the text over a connection of its own and returns what comes back until the service closes it. */
  async function exchange(text: string): Promise<{ status: number; headers: string; body: string }> {
    const socket = connect(address());
    socket.on('error', () => undefined).end(text);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'close');
    const [headers = '', body = ''] = Buffer.concat(chunks).toString().split('\r\n\r\n');
    return { status: Number(headers.split(' ')[1]), headers, body };
  }

  async function expectWireRefusal(text: string, status: number, code: string): Promise<void> {
    const answer = await exchange(text);
    expect(answer.status).toBe(status);
    expect(answer.headers).toMatch(/^content-type: application\/problem\+json; charset=utf-8\r?$/im);
    const problem = JSON.parse(answer.body) as Record<string, unknown>;
    expect(problem).toMatchObject({ type: `/problems/${code}`, status, code });
    const id = /^x-request-id: (\S+)\r?$/im.exec(answer.headers)?.[1] ?? '';
    expect(problem['instance']).toBe(`urn:uuid:${id}`);
  }

  it.each([
    ['one header', `GET /v1/users HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(17_000)}\r\n\r\n`],
    ['many headers', `GET /v1/users HTTP/1.1\r\nHost: x\r\n${'X-Many: xxxxxxxxxx\r\n'.repeat(1_000)}\r\n`],
    ['the request line', `GET /v1/users?email=${'x'.repeat(17_000)} HTTP/1.1\r\nHost: x\r\n\r\n`],
  ])('more than 16 KiB of headers are refused: %s', (_case, text) =>
    expectWireRefusal(text, 431, 'header-too-large'),
  );

  it.each([
    ['no method', ' /v1/users HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an unknown method', 'FETCH /v1/users HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['HTTP/3', 'GET /v1/users HTTP/3.0\r\nHost: x\r\n\r\n'],
    ['garbage', '\u0016\u0003\u0001 hello\r\n\r\n'],
    ['a header without a colon', 'GET /v1/users HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n'],
    ['a length that is none', 'POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n'],
    ['two lengths', 'POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}'],
    [
      'length and chunks',
      'POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a chunk of no size',
      'POST /v1/users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n{}\r\n',
    ],
  ])('a malformed request is refused: %s', (_case, text) =>
    expectWireRefusal(text, 400, 'malformed-request'),
  );

  it('a body of more than 1 MiB in chunks is refused', async () => {
    const chunk = `10000\r\n${' '.repeat(65_536)}\r\n`;
    await expectWireRefusal(
      `POST /v1/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n${chunk.repeat(17)}0\r\n\r\n`,
      413,
      'body-too-large',
    );
  });

  it('requests that stop half-way leave nothing behind and a healthy service', async () => {
    const before = await countRows();
    const body = userJson();
    const head = `POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`;
    const request = head + body;
    const sockets = Array.from({ length: 50 }, () => connect(address()).on('error', () => undefined));
    await Promise.all(
      sockets.map(async (socket, index) => {
        const part = request.slice(0, Math.floor(((index + 1) / 51) * request.length));
        await once(socket, 'connect');
        await new Promise<void>((sent) => socket.write(part, () => sent()));
      }),
    );
    const closed = sockets.map((socket) => once(socket, 'close'));
    for (const socket of sockets) socket.resetAndDestroy();
    await Promise.all(closed);
    await service.send('get', '/v1/users?limit=1').expect(200);
    await service.send('get', `/v1/users/${user.id}`).expect(200);
    expect(await countRows()).toEqual(before);
  });
});

describe('whatever comes', () => {
  const runs = { numRuns: 60 };

  it('as a body, it is never an error of the service', () =>
    fc.assert(
      fc.asyncProperty(fc.json({ maxDepth: 3, noUnicodeString: false }), async (body) => {
        for (const post of [postUser, postOrder]) {
          const { status } = await withBody(post(), body);
          expect([400, 422]).toContain(status);
        }
      }),
      runs,
    ));

  it('as a member of an order or a user, it is never an error of the service', () => {
    const order1 = {
      currency: 'EUR',
      lines,
      reference: '',
      shipping: 0,
      note: '',
      metadata: {},
      placedAt: '',
    };
    return fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(order1), ...Object.keys(lines[0] ?? {})),
        fc.constantFrom('name', 'email', 'role', 'password'),
        fc.json({ maxDepth: 3, noUnicodeString: false }),
        async (member, userMember, value) => {
          const added = `${JSON.stringify(member)}: ${value}`;
          const inLine = await withBody(postOrder(), orderJson('', lineJson(added)));
          const inOrder = await withBody(postOrder(), orderJson(added));
          const inUser = await withBody(postUser(), userJson(`${JSON.stringify(userMember)}: ${value}`));
          for (const { status } of [inLine, inOrder, inUser]) expect([201, 409, 422]).toContain(status);
        },
      ),
      runs,
    );
  });

  it('as a filter, it is never an error of the service', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          ...[
            '/v1/users?email',
            '/v1/users?role',
            '/v1/orders?reference',
            '/v1/orders?sku',
            '/v1/orders?userId',
          ],
          ...['/v1/orders?currency', '/v1/orders?placedFrom', '/v1/orders?totalMin', '/v1/orders?cursor'],
          ...[
            '/v1/audit/events?action',
            '/v1/audit/events?subjectId',
            '/v1/audit/events?to',
            `/v1/users?limit`,
          ],
        ),
        fc.oneof(
          fc.string({ minLength: 1, unit: 'binary' }),
          fc.string({ minLength: 1 }),
          fc.uuid(),
          fc.integer(),
        ),
        async (filter, value) => {
          const { status } = await service.send('get', `${filter}=${encodeURIComponent(value)}`);
          expect([200, 400]).toContain(status);
        },
      ),
      runs,
    ));
});
