import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { EXAMPLE_IDS, EXAMPLE_KEY } from '../src/http/examples.js';
import { startService, type TestService } from './support/service.js';

interface Parameter {
  name: string;
  in: string;
  schema: { example?: string };
}

interface Operation {
  operationId: string;
  parameters: Parameter[];
  requestBody?: { content: Record<string, { examples: Record<string, { value: object }> }> };
}

interface Route {
  path: string;
  method: 'get' | 'post' | 'patch';
  operation: Operation;
}

let service: TestService;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.stop());

it('every example of the contract works, once ids that exist and new keys stand in their place', async () => {
  const routes = (await readRoutes()).sort((a, b) => rank(a) - rank(b));
  const ids = new Map<string, string>();
  const statuses: Record<string, number> = {};
  for (const { path, method, operation } of routes) {
    const fill = (text: string) =>
      [...ids].reduce((filled, [example, id]) => filled.replaceAll(example, id), text);
    const example = (name: string) => operation.parameters.find((each) => each.name === name)?.schema.example;
    const request = service.send(method, fill(path.replace('{id}', example('id') ?? '')));
    for (const { name } of operation.parameters.filter((each) => each.in === 'header')) {
      const value = example(name);
      if (value !== undefined) void request.set(name, value === EXAMPLE_KEY ? randomUUID() : value);
    }
    const body = Object.values(operation.requestBody?.content ?? {})[0]?.examples.example?.value;
    if (body !== undefined) void request.send(JSON.parse(fill(JSON.stringify(body))) as object);
    const answer = await request;
    statuses[operation.operationId] = answer.status;
    remember(ids, path, answer.body);
  }
  expect(statuses).toEqual({
    Health_live: 200,
    Health_ready: 200,
    Health_startup: 200,
    Users_create: 201,
    Users_list: 200,
    Users_get: 200,
    Users_update: 200,
    Users_events: 200,
    Orders_place: 201,
    Orders_list: 200,
    Orders_get: 200,
    Orders_update: 200,
    Orders_cancel: 200,
    Orders_events: 200,
    Audit_list: 200,
    Audit_get: 200,
  });
});

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

/** What makes a subject comes before what needs one, and what ends it last. */
function rank({ path, method }: Route): number {
  if (path === '/v1/users' && method === 'post') return 0;
  if (path === '/v1/orders' && method === 'post') return 1;
  if (path === '/v1/audit/events') return 2;
  return path.endsWith('/cancel') ? 4 : 3;
}

function remember(
  ids: Map<string, string>,
  path: string,
  body: { id?: string; data?: { id: string }[] },
): void {
  const id = body.id ?? body.data?.[0]?.id;
  for (const [type, example] of Object.entries(EXAMPLE_IDS)) {
    if (path === `/v1/${type}` && id !== undefined) ids.set(example, id);
  }
}
