import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { EXAMPLE_IDS, EXAMPLE_KEY } from '../src/http/examples.js';
import { sealedUpTo, untilSealed } from './support/log-client.js';
import { signIn } from './support/people.js';
import { orderThatTakes } from './support/samples.js';
import { ADMIN_EMAIL, ADMIN_PASSWORD, startService, type TestService } from './support/service.js';

interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  schema: { example?: string | number };
}

interface Operation {
  operationId: string;
  parameters: Parameter[];
  requestBody?: { content: Record<string, { examples: Record<string, { value: object }> }> };
}

interface Route {
  path: string;
  method: 'get' | 'post' | 'patch' | 'delete';
  operation: Operation;
}

interface Answer {
  id?: string;
  data?: { id: string }[];
  resetToken?: string;
}

/** What makes something that others need. */
const FIRST = [
  'Auth_register',
  'Users_create',
  'Orders_place',
  'ApiKeys_create',
  'Audit_list',
  'Sessions_list',
  'Orders_events',
  'OrderProofs_proof',
  'Auth_issueResetToken',
];
/** What ends something that others need. */
const LAST = [
  'ApiKeys_revoke',
  'Users_suspend',
  'Users_reinstate',
  'PersonalData_erase',
  'Sessions_end',
  'Auth_logout',
  'Auth_logoutAll',
];

let service: TestService;
beforeAll(async () => {
  service = await startService({ AUDIT_SEALER: 'on' });
});
afterAll(() => service.stop());

it('every example of the contract works, once ids, tokens and addresses that exist and new keys stand in their place', async () => {
  const routes = (await readRoutes()).sort((a, b) => rank(a) - rank(b));
  const ids = new Map<string, string>();
  let resetToken = '';
  const statuses: Record<string, number> = {};
  for (const { path, method, operation } of routes) {
    // Whatever a request does to its session, the next one has another.
    const { accessToken, refreshToken } = await signIn(service, ADMIN_EMAIL, ADMIN_PASSWORD);
    const command = /^OrderCommands_(.+)$/.exec(operation.operationId)?.[1];
    if (command !== undefined) ids.set(EXAMPLE_IDS.orders, (await orderThatTakes(service, command)).id);
    const fill = (text: string) =>
      [...ids].reduce((filled, [example, id]) => filled.replaceAll(example, id), text);
    const example = (name: string) =>
      operation.parameters.find((each) => each.name === name)?.schema.example?.toString();
    const query = operation.parameters.filter((each) => each.in === 'query' && each.required);
    const filled = fill(path.replace(/\{(\w+)\}/g, (_, name: string) => example(name) ?? ''));
    // There is a checkpoint soon, and an event that was just made is provable.
    if (path.endsWith('/events/export')) await sealedUpTo(service, 1);
    if (path.endsWith('/proof')) await untilSealed(() => service.send('get', filled));
    const request = service
      .as(accessToken)
      .send(method, filled)
      .query(Object.fromEntries(query.map(({ name }) => [name, example(name)])));
    for (const { name } of operation.parameters.filter((each) => each.in === 'header')) {
      const value = example(name);
      if (value !== undefined) void request.set(name, value === EXAMPLE_KEY ? randomUUID() : value);
    }
    const body = Object.values(operation.requestBody?.content ?? {})[0]?.examples.example?.value;
    if (body !== undefined) {
      const known = Object.entries({ ...whoIn(path), refreshToken, resetToken }).filter(
        ([name]) => name in body,
      );
      void request.send({
        ...(JSON.parse(fill(JSON.stringify(body))) as object),
        ...Object.fromEntries(known),
      });
    }
    const answer = await request;
    statuses[operation.operationId] = answer.status;
    remember(ids, path, answer.body);
    resetToken = (answer.body as Answer).resetToken ?? resetToken;
  }
  expect(statuses).toEqual({
    Health_live: 200,
    Health_ready: 200,
    Health_startup: 200,
    KeySet_keys: 200,
    Auth_register: 201,
    Auth_login: 200,
    Auth_refresh: 200,
    Auth_logout: 204,
    Auth_logoutAll: 204,
    Auth_password: 204,
    Auth_issueResetToken: 201,
    Sessions_list: 200,
    Sessions_end: 204,
    ApiKeys_create: 201,
    ApiKeys_list: 200,
    ApiKeys_get: 200,
    ApiKeys_revoke: 204,
    ApiKeys_events: 200,
    Users_create: 201,
    Users_list: 200,
    Users_me: 200,
    Users_suspend: 200,
    Users_reinstate: 200,
    Users_get: 200,
    Users_update: 200,
    Users_events: 200,
    PersonalData_erase: 200,
    PersonalData_export: 200,
    Orders_place: 201,
    Orders_preview: 200,
    OrderBatch_place: 207,
    OrderExport_export: 200,
    Orders_list: 200,
    Orders_get: 200,
    Orders_update: 200,
    OrderCommands_cancel: 200,
    OrderCommands_confirm: 200,
    OrderCommands_hold: 200,
    OrderCommands_release: 200,
    OrderCommands_complete: 200,
    OrderCommands_pay: 200,
    OrderCommands_refund: 200,
    OrderCommands_fulfill: 200,
    Orders_events: 200,
    AuditExport_export: 200,
    Audit_list: 200,
    Audit_get: 200,
    AuditProofs_proof: 200,
    OrderProofs_proof: 200,
    Log_checkpoint: 200,
    Log_key: 200,
    Log_consistency: 200,
    Log_tile: 200,
    Log_entries: 200,
    Integrity_check: 200,
  });
});

/** The example of signing in is the first admin, whose password is told at the first start; others need a new address. */
function whoIn(path: string): { email: string; password?: string } {
  if (path === '/v1/auth/login') return { email: ADMIN_EMAIL, password: ADMIN_PASSWORD };
  return { email: `${randomUUID()}@example.com` };
}

async function readRoutes(): Promise<Route[]> {
  const response = await fetch(`${service.url}/docs-json`);
  const document = (await response.json()) as {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
  };
  expect(document.openapi).toBe('3.1.0');
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({
      path,
      method: method as Route['method'],
      operation,
    })),
  );
}

function rank({ operation: { operationId } }: Route): number {
  const first = FIRST.indexOf(operationId);
  return first === -1 ? FIRST.length + LAST.indexOf(operationId) + 1 : first;
}

function remember(ids: Map<string, string>, path: string, body: Answer): void {
  const id = body.id ?? body.data?.[0]?.id;
  for (const [type, example] of Object.entries(EXAMPLE_IDS)) {
    if (path.replace('/{id}', '') === `/v1/${type}` && id !== undefined) ids.set(example, id);
  }
}
