import { randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { createKey } from './people.js';
import { createUser, type OrderBody, placeOrder } from './samples.js';
import type { TestService } from './service.js';

/** Gives an order commands, each `[path, body]`, and returns it as the last leaves it. */
export async function command(
  service: TestService,
  id: string,
  ...commands: readonly (readonly [path: string, body: object])[]
): Promise<OrderBody> {
  let order: OrderBody | undefined;
  for (const [path, body] of commands) {
    const answer = await service
      .send('post', `/v1/orders/${id}/${path}`)
      .set('Idempotency-Key', randomUUID())
      .send(body);
    expect([path, answer.status]).toEqual([path, 200]);
    order = answer.body as OrderBody;
  }
  if (order === undefined) throw new Error('No command');
  return order;
}

/** A subject, and a text in its rows that no two may share. */
interface Full {
  readonly id: string;
  readonly unique: string;
}

/** An order that has been through everything, and has a value in every column: on hold at version 6. */
export async function fullOrder(service: TestService, userId: string): Promise<Full> {
  const unique = randomUUID();
  const { id, total } = await placeOrder(service, userId, {
    reference: `reference-${unique}`,
    note: 'a noted note',
    metadata: { channel: 'a channelled channel' },
    shipping: 490,
  });
  await command(
    service,
    id,
    ['confirm', {}],
    ['payments', { amount: total, provider: 'a-provider', providerReference: unique, method: 'a-method' }],
    [
      'fulfillments',
      { lines: [{ position: 1, quantity: 2 }], carrier: 'a-carrier', trackingNumber: 'a-tracking-number' },
    ],
    ['refunds', { lines: [{ position: 1, quantity: 1 }], reason: 'a refunded reason' }],
    ['hold', { reason: 'a held reason' }],
  );
  return { id, unique };
}

/** A user at version 3. */
export async function fullUser(service: TestService): Promise<Full> {
  const unique = randomUUID();
  const { id } = await createUser(service, { email: `${unique}@example.com` });
  const path = `/v1/users/${id}`;
  await service.send('patch', path).set('If-Match', '*').send({ name: 'Renamed Lovelace' }).expect(200);
  await service.send('patch', path).set('If-Match', '*').send({ role: 'staff' }).expect(200);
  return { id, unique };
}

/** A revoked key that would have expired: at version 2. */
export async function fullKey(service: TestService): Promise<Full> {
  const unique = randomUUID();
  const created = await service
    .send('post', '/v1/api-keys')
    .send({ name: `a-key-${unique}`, scopes: ['orders:read'], expiresAt: '2100-01-01T00:00:00Z' })
    .expect(201);
  const { id } = created.body as { id: string };
  await service.send('delete', `/v1/api-keys/${id}`).expect(204);
  return { id, unique };
}

/** A bit of everything that can happen, refusals and sign-ins among it. */
export async function history(service: TestService): Promise<void> {
  const { id: userId } = await fullUser(service);
  await service.send('post', `/v1/users/${userId}/suspend`).expect(200);
  await service.send('post', `/v1/users/${userId}/reinstate`).expect(200);
  const { id: goneId } = await fullUser(service);
  await placeOrder(service, goneId);
  await service.send('post', `/v1/users/${goneId}/erase`).expect(200);
  await fullKey(service);
  await createKey(service, ['orders:read']);
  await service
    .as(await createKey(service, ['users:read']))
    .send('get', '/v1/orders')
    .expect(403);
  const failed = { email: 'nobody@example.com', password: 'a wrong password' };
  await service.as(undefined).send('post', '/v1/auth/login').send(failed).expect(401);

  // Ids are taken in whatever case, and told in one.
  const reset = { userId: userId.toUpperCase() };
  await service.send('post', '/v1/auth/reset-tokens').send(reset).expect(201);

  const { id: full } = await fullOrder(service, userId);
  await command(
    service,
    full,
    ['release', {}],
    [
      'fulfillments',
      {
        lines: [
          { position: 1, quantity: 1 },
          { position: 2, quantity: 1 },
        ],
      },
    ],
  );
  const paid = (amount: number) => ({ amount, provider: 'a-provider', providerReference: randomUUID() });
  await command(service, full, ['payments', paid(1_000)], ['refunds', { amount: 17, reason: 'a bit' }]);
  await command(
    service,
    full,
    ['refunds', { lines: [{ position: 1, quantity: 2 }], reason: 'the rest' }],
    ['complete', {}],
  );
  await command(service, full, ['refunds', { full: true, reason: 'all' }]);

  const cancelled = await placeOrder(service, userId);
  await command(
    service,
    cancelled.id,
    ['payments', paid(99_999)],
    ['hold', { reason: 'a while' }],
    ['cancel', { refund: 'full' }],
  );
  const kept = await placeOrder(service, userId);
  await command(service, kept.id, ['payments', paid(5)], ['cancel', { refund: 'none' }]);
  await service
    .send('patch', `/v1/orders/${kept.id}`)
    .set('If-Match', '*')
    .send({ note: 'kept', metadata: { a: 'b' } })
    .expect(200);
  await placeOrder(service, userId, { lines: [{ sku: 'GIFT', name: 'Gift', quantity: 7, unitPrice: 0 }] });
}
