import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { roles, scopes } from '../src/http/access.js';
import { untilSealed } from './support/log-client.js';
import { createKey, createPerson, PASSWORD, type Person, signIn, type Tokens } from './support/people.js';
import { createUser, orderThatTakes, placeOrder, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

interface Operation {
  operationId: string;
  security?: Record<string, string[]>[];
  requestBody?: { content: Record<string, { examples: { example: { value: object } } }> };
}
type Method = 'get' | 'post' | 'patch' | 'delete';

const document = JSON.parse(readFileSync(new URL('../openapi.json', import.meta.url), 'utf8')) as {
  paths: Record<string, Record<Method, Operation>>;
};
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method: method as Method, operation })),
);

/** `customer` owns what is asked for, `other` is another customer; `wrongKey` has all scopes but the one that is needed. */
const actors = [
  'anonymous',
  'customer',
  'other',
  'staff',
  'auditor',
  'admin',
  'wrongKey',
  'rightKey',
] as const;
type Actor = (typeof actors)[number];

/**
 * What each actor is answered, in the order above, and the scope that an API key needs. Written down by hand, apart from
 * the table in the code: an operation that is missing here fails.
 */
const expected: Record<string, string> = {
  Health_live: everybody(200),
  Health_ready: everybody(200),
  Health_startup: everybody(200),
  KeySet_keys: everybody(200),

  Auth_register: everybody(201),
  Auth_login: everybody(200),
  Auth_refresh: everybody(200),
  Auth_password: everybody(204),
  Auth_logout: '401 204 204 204 204 204 403 403',
  Auth_logoutAll: '401 204 204 204 204 204 403 403',
  Auth_issueResetToken: '401 403 403 403 403 201 403 403',
  Sessions_list: '401 200 200 200 200 200 403 403',
  Sessions_end: '401 204 404 404 404 404 403 403',

  ApiKeys_create: '401 403 403 403 403 201 403 403',
  ApiKeys_list: '401 403 403 403 403 200 403 403',
  ApiKeys_get: '401 403 403 403 403 200 403 403',
  ApiKeys_revoke: '401 403 403 403 403 204 403 403',
  ApiKeys_events: '401 403 403 403 403 200 403 403',

  Users_create: '401 403 403 403 403 201 403 201 users:write',
  Users_list: '401 403 403 200 403 200 403 200 users:read',
  Users_me: '401 200 200 200 200 200 403 403',
  Users_get: '401 200 404 200 404 200 403 200 users:read',
  Users_update: '401 200 404 404 404 200 403 200 users:write',
  Users_suspend: '401 403 403 403 403 200 403 200 users:write',
  Users_reinstate: '401 403 403 403 403 200 403 200 users:write',
  Users_events: '401 200 404 200 404 200 403 200 users:read',
  PersonalData_erase: '401 403 403 403 403 200 403 403',
  PersonalData_export: '401 200 404 404 404 200 403 403',

  Orders_place: '401 201 201 201 403 201 403 201 orders:write',
  Orders_preview: '401 200 200 200 403 200 403 200 orders:write',
  OrderBatch_place: '401 207 207 207 403 207 403 207 orders:write',
  OrderExport_export: '401 200 200 200 403 200 403 200 orders:read',
  Orders_list: '401 200 200 200 403 200 403 200 orders:read',
  Orders_get: '401 200 404 200 403 200 403 200 orders:read',
  Orders_update: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_cancel: '401 200 404 200 403 200 403 200 orders:write',
  OrderCommands_confirm: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_hold: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_release: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_complete: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_pay: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_refund: '401 403 403 200 403 200 403 200 orders:write',
  OrderCommands_fulfill: '401 403 403 200 403 200 403 200 orders:write',
  Orders_events: '401 200 404 200 403 200 403 200 orders:read',

  AuditExport_export: '401 403 403 403 200 200 403 200 audit:read',
  Audit_list: '401 403 403 403 200 200 403 200 audit:read',
  Integrity_check: '401 403 403 403 200 200 403 200 audit:read',
  Audit_get: '401 403 403 403 200 200 403 200 audit:read',
  AuditProofs_proof: '401 403 403 403 200 200 403 200 audit:read',
  OrderProofs_proof: '401 200 404 200 403 200 403 200 orders:read',
  Log_checkpoint: everybody(200),
  Log_key: everybody(200),
  Log_consistency: everybody(200),
  Log_tile: everybody(200),
  Log_entries: '401 403 403 403 200 200 403 200 audit:read',
};

function everybody(status: number): string {
  return actors.map(() => status).join(' ');
}

let service: TestService;
let people: Record<Exclude<Actor, 'anonymous' | 'wrongKey' | 'rightKey'>, Person>;
const keys = new Map<string, string>();

beforeAll(async () => {
  service = await startService({ AUDIT_SEALER: 'on' });
  people = {
    customer: await createPerson(service),
    other: await createPerson(service),
    staff: await createPerson(service, 'staff'),
    auditor: await createPerson(service, 'auditor'),
    admin: await createPerson(service, 'admin'),
  };
  for (const scope of [undefined, ...scopes]) {
    keys.set(
      `without ${scope}`,
      await createKey(
        service,
        scopes.filter((each) => each !== scope),
      ),
    );
    keys.set(`with ${scope}`, await createKey(service, scope === undefined ? scopes : [scope]));
  }
});
afterAll(() => service.stop());

it.each(operations)(
  '$operation.operationId answers each caller as they may',
  async ({ path, method, operation }) => {
    const row = expected[operation.operationId];
    if (row === undefined) throw new Error(`${operation.operationId} has no expectation: who may do it?`);
    const example = Object.values(operation.requestBody?.content ?? {})[0]?.examples.example.value;
    const answers: Record<string, number> = {};
    for (const actor of actors) {
      const { id, eventId, query, body }: Case = (await cases[operation.operationId]?.(example, actor)) ?? {};
      const token = await tokenOf(actor, operation);
      const request = service
        .as(token)
        .send(method, `${fill(path, id, eventId)}${query ?? ''}`)
        .set({ 'Idempotency-Key': randomUUID(), 'If-Match': '*' });
      answers[actor] = (await (body === undefined ? request : request.send(body))).status;
    }
    expect(answers).toEqual(
      Object.fromEntries(actors.map((actor, index) => [actor, Number(row.split(' ')[index])])),
    );
  },
);

it.each(operations)('$operation.operationId says in the contract who may do it', ({ operation }) => {
  const statuses = expected[operation.operationId]?.split(' ') ?? [];
  const isAllowed = (actor: Actor) => !['401', '403'].includes(statuses[actors.indexOf(actor)] ?? '403');
  const allowed = roles.filter((role) => isAllowed(role));
  if (isAllowed('anonymous')) {
    expect(
      operation.security?.every((requirement) => Object.values(requirement).flat().length === 0) ?? true,
    ).toBe(true);
    return;
  }
  const requirements = Object.assign({}, ...(operation.security ?? [])) as Record<string, string[]>;
  expect(requirements.accessToken).toEqual(allowed);
  const scope = statuses[actors.length];
  expect(requirements.apiKey).toEqual(scope === undefined ? undefined : [scope]);
});

describe('what belongs to somebody else', () => {
  it('looks like what is not there, to the byte but for the request id', async () => {
    const { customer, other } = people;
    const order = await placeOrder(service, customer.user.id);
    const as = service.as(other.accessToken);
    const pairs = [
      [`/v1/orders/${order.id}`, `/v1/orders/${randomUUID()}`],
      [`/v1/orders/${order.id}?version=1`, `/v1/orders/${randomUUID()}?version=1`],
      [`/v1/orders/${order.id}/events`, `/v1/orders/${randomUUID()}/events`],
      [`/v1/users/${customer.user.id}`, `/v1/users/${randomUUID()}`],
      [`/v1/users/${customer.user.id}/events`, `/v1/users/${randomUUID()}/events`],
    ];
    const id = randomUUID();
    for (const [foreign = '', absent = ''] of pairs) {
      const [one, two] = [
        await as.send('get', foreign).set('X-Request-Id', id),
        await as.send('get', absent).set('X-Request-Id', id),
      ];
      expect(one.status).toBe(404);
      expect(one.text).toBe(two.text);
      expect(namesOf(one)).toEqual(namesOf(two));
    }
  });

  it('is not taken for current by a cache that holds what another caller got', async () => {
    const { customer, other, staff } = people;
    const order = await placeOrder(service, customer.user.id);
    const reader = await createKey(service, ['orders:read']);
    const paths: [string, (string | undefined)[]][] = [
      ['/v1/users/me', [customer.accessToken, other.accessToken, staff.accessToken]],
      [`/v1/orders/${order.id}`, [customer.accessToken, staff.accessToken, reader]],
    ];
    for (const [path, tokens] of paths) {
      for (const token of tokens) {
        const first = await service.as(token).send('get', path).expect(200);
        const tag = first.get('ETag') ?? '';
        for (const another of tokens) {
          const again = service.as(another).send('get', path).set('If-None-Match', tag);
          await again.expect(another === token ? 304 : 200);
        }
      }
    }
    // Whoever has a tag may use it as the version that a change is based on.
    const own = await service.as(customer.accessToken).send('get', `/v1/orders/${order.id}`);
    const cancel = service.as(customer.accessToken).send('post', `/v1/orders/${order.id}/cancel`);
    await cancel.set('If-Match', own.get('ETag') ?? '').expect(200);
  });

  it('is not replayed to a caller who may not see it any more', async () => {
    const demoted = await createPerson(service, 'staff');
    const order = await placeOrder(service, people.customer.user.id);
    const key = randomUUID();
    const cancel = (token: string) =>
      service.as(token).send('post', `/v1/orders/${order.id}/cancel`).set('Idempotency-Key', key);
    await cancel(demoted.accessToken).expect(200);
    const path = `/v1/users/${demoted.user.id}`;
    await service.send('patch', path).set('If-Match', '*').send({ role: 'customer' }).expect(200);
    await cancel((await signIn(service, demoted.user.email)).accessToken).expect(404);
  });

  it('is in no list of a customer, whatever the filter', async () => {
    const { customer, other } = people;
    await placeOrder(service, customer.user.id, { reference: 'mine-alone' });
    const own = await placeOrder(service, other.user.id);
    for (const query of [
      '',
      `?userId=${customer.user.id}`,
      '?reference=mine-alone',
      '?sku=TEA-250&limit=100',
    ]) {
      const response = await service.as(other.accessToken).send('get', `/v1/orders${query}`).expect(200);
      const owners = (response.body as { data: { userId: string }[] }).data.map(({ userId }) => userId);
      expect(owners.filter((userId) => userId !== other.user.id)).toEqual([]);
      if (query === '') expect(owners).not.toEqual([]);
    }
    expect(own.userId).toBe(other.user.id);
  });

  it('a cursor is of use only to whom it was given', async () => {
    for (let index = 0; index < 2; index++) await placeOrder(service, people.customer.user.id);
    const page = await service.as(people.customer.accessToken).send('get', '/v1/orders?limit=1').expect(200);
    const { nextCursor } = page.body as { nextCursor: string };
    const response = await service
      .as(people.other.accessToken)
      .send('get', `/v1/orders?limit=1&cursor=${nextCursor}`);
    expect(response.body).toMatchObject({ status: 400, code: 'invalid-cursor' });
  });

  it('cannot be ordered by a customer for another, nor in the past', async () => {
    const { customer, other } = people;
    const lines = [{ sku: 'A', name: 'A', quantity: 1, unitPrice: 1 }];
    const place = (members: object) =>
      service
        .as(other.accessToken)
        .send('post', '/v1/orders')
        .set('Idempotency-Key', randomUUID())
        .send({ currency: 'EUR', lines, ...members });
    await place({ userId: customer.user.id }).expect(403);
    await place({ placedAt: '2026-01-01T00:00:00Z' }).expect(403);
    const own = await place({}).expect(201);
    expect(own.body).toMatchObject({ userId: other.user.id, availableActions: ['cancel'] });
  });
});

interface Case {
  readonly id?: string;
  readonly eventId?: string;
  readonly query?: string;
  readonly body?: object;
}

/** The id in the path and the body with which each operation succeeds for whoever may do it; most need neither. */
const cases: Record<string, (example: object | undefined, actor: Actor) => Promise<Case> | Case> = {
  Auth_register: newUser,
  Auth_login: () => ({ body: { email: people.customer.user.email, password: PASSWORD } }),
  Auth_refresh: async () => ({
    body: { refreshToken: (await signIn(service, people.customer.user.email)).refreshToken },
  }),
  Auth_password: async () => ({
    body: { resetToken: await resetToken(await createUser(service)), newPassword: PASSWORD },
  }),
  Auth_issueResetToken: async () => ({ body: { userId: (await createUser(service)).id } }),
  Sessions_end: async () => ({ id: sessionOf(await signIn(service, people.customer.user.email)) }),
  ApiKeys_create: () => ({ body: { name: randomUUID(), scopes: ['orders:read'] } }),
  ApiKeys_get: newKey,
  ApiKeys_revoke: newKey,
  ApiKeys_events: newKey,
  Users_create: newUser,
  Users_get: () => ({ id: people.customer.user.id }),
  Users_events: () => ({ id: people.customer.user.id }),
  Users_update: () => ({ id: people.customer.user.id, body: { name: randomUUID() } }),
  Users_suspend: async () => ({ id: (await createUser(service)).id }),
  Users_reinstate: async () => ({ id: await suspended() }),
  PersonalData_erase: async () => ({ id: (await createUser(service)).id }),
  PersonalData_export: () => ({ id: people.customer.user.id }),
  Orders_place: (example, actor) => ({ body: forActor(example, actor) }),
  Orders_preview: (example, actor) => ({ body: forActor(example, actor) }),
  OrderBatch_place: (_example, actor) => {
    const order = { currency: 'EUR', lines: [{ sku: 'A', name: 'A', quantity: 1, unitPrice: 1 }] };
    return { body: { items: [{ idempotencyKey: randomUUID(), order: forActor(order, actor) }] } };
  },
  Orders_get: newOrder,
  Orders_events: newOrder,
  OrderCommands_cancel: newOrder,
  OrderCommands_confirm: newOrder,
  OrderCommands_hold: (example) => orderTaking('hold', example),
  OrderCommands_release: () => orderTaking('release'),
  OrderCommands_complete: () => orderTaking('complete'),
  OrderCommands_pay: (example) => orderTaking('pay', { ...example, providerReference: randomUUID() }),
  OrderCommands_refund: (example) => orderTaking('refund', example),
  OrderCommands_fulfill: (example) => orderTaking('fulfill', example),
  Orders_update: async () => ({ ...(await newOrder()), body: { note: 'changed' } }),
  Audit_get: async () => ({ id: await firstEventOf('/v1/audit/events?limit=1') }),
  AuditProofs_proof: async () => ({ id: (await provable()).eventId }),
  OrderProofs_proof: provable,
  Log_consistency: () => ({ query: '?first=1&second=1' }),
};

/** An event of an order of the customer, with a proof; the same for all who ask. */
let sealed: Promise<{ id: string; eventId: string }> | undefined;
async function provable(): Promise<{ id: string; eventId: string }> {
  sealed ??= (async () => {
    const { id = '' } = await newOrder();
    const eventId = await firstEventOf(`/v1/orders/${id}/events`);
    await untilSealed(() => service.send('get', `/v1/audit/events/${eventId}/proof`));
    return { id, eventId };
  })();
  return sealed;
}

/** The path of a case, in the log of the first leaf. */
function fill(path: string, id = '', eventId = ''): string {
  const values = { '{id}': id, '{eventId}': eventId, '{level}': '0', '{place}': '000.p/1' };
  return Object.entries(values).reduce((filled, [name, value]) => filled.replace(name, value), path);
}

async function firstEventOf(path: string): Promise<string> {
  const list = await service.send('get', path).expect(200);
  return (list.body as { data: { id: string }[] }).data[0]?.id ?? '';
}

/** An API key has to name whose order it is. */
function forActor(order: object | undefined, actor: Actor): object {
  return { ...order, ...(actor.endsWith('Key') && { userId: people.customer.user.id }) };
}

function newUser(example: object | undefined): Case {
  return { body: { ...example, email: `${randomUUID()}@example.com` } };
}

async function newKey(): Promise<Case> {
  return { id: (await createKey(service, ['orders:read'])).split('_')[1] ?? '' };
}

async function orderTaking(command: string, body?: object): Promise<Case> {
  const { id } = await orderThatTakes(service, command, people.customer.user.id);
  return body === undefined ? { id } : { id, body };
}

async function newOrder(): Promise<Case> {
  return { id: (await placeOrder(service, people.customer.user.id)).id };
}

/** What signs somebody out, is asked by somebody else of the same role. */
async function tokenOf(actor: Actor, { operationId }: Operation): Promise<string | undefined> {
  if (actor === 'anonymous') return undefined;
  if (actor === 'wrongKey' || actor === 'rightKey') {
    const scope = expected[operationId]?.split(' ')[actors.length];
    return keys.get(`${actor === 'wrongKey' ? 'without' : 'with'} ${scope}`);
  }
  const person = people[actor];
  if (!operationId.startsWith('Auth_logout')) return person.accessToken;
  return (await createPerson(service, person.user.role)).accessToken;
}

async function resetToken(user: UserBody): Promise<string> {
  const response = await service.send('post', '/v1/auth/reset-tokens').send({ userId: user.id }).expect(201);
  return (response.body as { resetToken: string }).resetToken;
}

async function suspended(): Promise<string> {
  const { id } = await createUser(service);
  await service.send('post', `/v1/users/${id}/suspend`).expect(200);
  return id;
}

/** The id of the session that an access token belongs to. */
function sessionOf({ accessToken }: Tokens): string {
  const [, payload = ''] = accessToken.split('.');
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sid: string }).sid;
}

/** The names of an answer's headers, in their order. */
function namesOf({ headers }: { headers: Record<string, string> }): string[] {
  return Object.keys(headers);
}
