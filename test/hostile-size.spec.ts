import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createUser, lines, placeOrder, type OrderBody, type UserBody } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

let service: TestService;
let user: UserBody;
let order: OrderBody;
beforeAll(async () => {
  service = await startService();
  user = await createUser(service);
  order = await placeOrder(service, user.id);
});
afterAll(() => service.stop());

const many = (count: number, value: unknown) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, value]));

describe('bodies that are small enough to be read and too large to be walked', () => {
  it.each([
    ['a metadata patch of 60,000 members', { metadata: many(60_000, null) }, '/metadata'],
    ['60,000 unknown members', many(60_000, 1), ''],
    ['an array of 100,000 elements', { note: Array<number>(100_000).fill(0) }, '/note'],
  ])('%s: refused at the place, before its members are looked at', async (_, body, pointer) => {
    const response = await service
      .send('patch', `/v1/orders/${order.id}`)
      .set('If-Match', '*')
      .send(body)
      .expect(422);
    expect(response.body.errors).toEqual([expect.objectContaining({ pointer, code: 'too-many-members' })]);
  });

  it('lists a hundred faults at the most, and says how many there are', async () => {
    const faulty = Array.from({ length: 150 }, () => ({ ...lines[0], ...many(10, 1) }));
    const response = await service
      .send('post', '/v1/orders')
      .set('Idempotency-Key', randomUUID())
      .send({ userId: user.id, currency: 'EUR', lines: faulty })
      .expect(422);
    expect(response.body.errors).toHaveLength(100);
    expect(response.body.detail).toBe('The body has 1500 faults, of which 100 are listed.');
  });
});

describe('queries with more parameters than anybody needs', () => {
  it('are refused for the one that is unknown, wherever it stands', async () => {
    const response = await service
      .send('get', `/v1/users?${'&'.repeat(2_000)}emial=a@example.com`)
      .expect(400);
    expect(response.body.code).toBe('unknown-parameter');
  });

  it('do not widen a list', async () => {
    const response = await service
      .send('get', `/v1/users?${'&'.repeat(2_000)}email=nobody@example.com`)
      .expect(200);
    expect(response.body.data).toEqual([]);
  });
});

describe('what a fault says', () => {
  async function faults(body: object): Promise<[string, string, string][]> {
    const response = await service
      .send('post', '/v1/orders')
      .set('Idempotency-Key', randomUUID())
      .send(body)
      .expect(422);
    return (response.body.errors as { pointer: string; code: string; detail: string }[]).map((fault) => [
      fault.pointer,
      fault.code,
      fault.detail,
    ]);
  }

  it('is that a member is required, where it is missing', async () => {
    expect(await faults({ userId: user.id, lines: [{}] })).toEqual([
      ['/currency', 'required', 'currency is required'],
      ['/lines/0/sku', 'required', 'sku is required'],
      ['/lines/0/name', 'required', 'name is required'],
      ['/lines/0/quantity', 'required', 'quantity is required'],
      ['/lines/0/unitPrice', 'required', 'unitPrice is required'],
    ]);
  });

  it('names the rule that was broken', async () => {
    const line = { ...lines[0], unitPrice: '12.99' };
    expect(await faults({ userId: user.id, currency: 'eur', lines: [line] })).toEqual([
      ['/currency', 'is-currency', 'currency must be a currency code of ISO 4217 such as EUR'],
      ['/lines/0/unitPrice', 'is-integer', 'unitPrice must be an integer from 0 to 9007199254740991'],
    ]);
  });

  it('comes before the id in the path is looked up, whatever the id', async () => {
    for (const id of [randomUUID(), 'not-an-id']) {
      await service.send('patch', `/v1/orders/${id}`).set('If-Match', '*').send({ note: 1 }).expect(422);
      await service.send('patch', `/v1/orders/${id}`).set('If-Match', '*').send({ note: 'x' }).expect(404);
    }
  });
});
