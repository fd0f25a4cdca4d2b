import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import canonicalize from 'canonicalize';
import { createUser, placeOrder, type OrderBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

interface AuditEvent {
  id: string;
  action: string;
  subject: { type: string; id: string; version: number };
  requestId: string;
  stateHash: string;
  leafHash: string;
}

let service: TestService;
let order: OrderBody;
beforeAll(async () => {
  service = await startService();
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
    actor: { type: 'anonymous', id: null },
    subject: { type: 'order', id: order.id, version: 2 },
    requestId,
  });
  const read = await service.send('get', `/v1/audit/events/${event?.id}`).expect(200);
  expect(read.body).toEqual(event);
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
  const rows = await service.database.query(
    `SELECT FROM audit_events WHERE convert_from(entry, 'UTF8') ~* 'canary'`,
  );
  expect(rows).toEqual([]);
});
