import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import canonicalize from 'canonicalize';
import { createKey } from './support/people.js';
import { createUser, placeOrder, type OrderBody, type UserBody } from './support/samples.js';
import { ADMIN_EMAIL, startService, type TestService } from './support/service.js';

interface AuditEvent {
  id: string;
  action: string;
  subject: { type: string; id: string | null; version: number | null };
  requestId: string;
  stateHash: string | null;
  leafHash: string;
}

let service: TestService;
let admin: UserBody;
let order: OrderBody;
beforeAll(async () => {
  service = await startService();
  admin = (await service.send('get', '/v1/users/me').expect(200)).body as UserBody;
  order = await placeOrder(service, (await createUser(service)).id);
});
afterAll(() => service.stop());

async function eventsOf(subjectId: string): Promise<AuditEvent[]> {
  const response = await service.send('get', `/v1/audit/events?subjectId=${subjectId}`).expect(200);
  return (response.body as { data: AuditEvent[] }).data;
}

it('tells who did what to which version, in which request', async () => {
  const requestId = '0193d3a1-0000-7000-8000-00000000abcd';
  await service.send('post', `/v1/orders/${order.id}/cancel`).set('X-Request-Id', requestId).expect(200);
  const [event] = await eventsOf(order.id);
  expect(event).toMatchObject({
    action: 'order.cancelled',
    actor: { type: 'user', id: admin.id },
    subject: { type: 'order', id: order.id, version: 2 },
    requestId,
  });
  const read = await service.send('get', `/v1/audit/events/${event?.id}`).expect(200);
  expect(read.body).toEqual(event);
});

it('tells which key did it, and that the service itself made the first admin', async () => {
  const key = await createKey(service, ['orders:write']);
  const { id } = await placeOrder(service, admin.id);
  await service.as(key).send('post', `/v1/orders/${id}/cancel`).expect(200);
  const [cancelled] = await eventsOf(id);
  const [, keyId] = key.split('_');
  expect(cancelled).toMatchObject({ action: 'order.cancelled', actor: { type: 'api-key', id: keyId } });
  const first = (await eventsOf(admin.id)).at(-1);
  expect(first).toMatchObject({ action: 'user.created', actor: { type: 'system', id: null } });
});

it('tells what changes no subject by an event without version and state', async () => {
  const signIn = (email: string) =>
    service.as(undefined).send('post', '/v1/auth/login').send({ email, password: 'a wrong one' });
  await signIn(ADMIN_EMAIL).expect(401);
  const [known] = await eventsOf(admin.id);
  const requestId = randomUUID();
  await signIn('nobody@example.com').set('X-Request-Id', requestId).expect(401);
  const failed = await service.send('get', '/v1/audit/events?action=user.sign-in-failed').expect(200);
  const unknown = (failed.body as { data: AuditEvent[] }).data.find((each) => each.requestId === requestId);
  for (const [event, id] of [
    [known, admin.id],
    [unknown, null],
  ] as const) {
    expect(event).toMatchObject({
      action: 'user.sign-in-failed',
      actor: { type: 'anonymous', id: null },
      subject: { type: 'user', id, version: null },
      stateHash: null,
    });
    const [row] = await service.database.query<{ entry: Buffer; salt: Buffer | null; state: Buffer | null }>(
      `SELECT entry, salt, state FROM audit_events WHERE id = $1`,
      [event?.id],
    );
    expect(row).toMatchObject({ salt: null, state: null });
    const entry = row?.entry.toString() ?? '';
    expect(canonicalize(JSON.parse(entry))).toBe(entry);
    expect(createHash('sha256').update('\0').update(entry).digest('hex')).toBe(event?.leafHash);
    expect(JSON.parse(entry)).toMatchObject({
      stateHash: null,
      subject: { type: 'user', id, version: null },
    });
  }
});

it('commits to the state by a salted hash, and to the event by its leaf', async () => {
  const [event] = (await eventsOf(order.id)).slice(-1);
  const [row] = await service.database.query<{ entry: Buffer; salt: Buffer; state: Buffer }>(
    `SELECT entry, salt, state FROM audit_events WHERE id = $1`,
    [event?.id],
  );
  if (row === undefined || event === undefined) throw new Error('The event is missing');
  // RFC 8785: writing the parsed bytes canonically gives the same bytes.
  expect(canonicalize(JSON.parse(row.entry.toString()))).toBe(row.entry.toString());
  expect(canonicalize(JSON.parse(row.state.toString()))).toBe(row.state.toString());
  expect(createHash('sha256').update(row.salt).update(row.state).digest('hex')).toBe(event.stateHash);
  expect(createHash('sha256').update('\0').update(row.entry).digest('hex')).toBe(event.leafHash);
  expect(Object.keys(JSON.parse(row.entry.toString()) as object)).toEqual(
    ['v', 'id', 'at', 'actor', 'action', 'subject', 'stateHash', 'requestId'].sort(),
  );
});

it('holds no personal data in entries', async () => {
  await createUser(service, { name: 'Canary Name', email: 'canary@example.com' });
  const nobody = { email: 'canary.nobody@example.com', password: 'the canary of a password' };
  await service.as(undefined).send('post', '/v1/auth/login').send(nobody).expect(401);
  const rows = await service.database.query(
    `SELECT FROM audit_events WHERE convert_from(entry, 'UTF8') ~* 'canary'`,
  );
  expect(rows).toEqual([]);
});
