import { randomUUID } from 'node:crypto';
import type { TestService } from './service.js';

export interface UserBody {
  id: string;
  name: string;
  email: string;
  role: string;
  status: string;
  version: number;
  createdAt: string;
  updatedAt: string;
}

export interface OrderBody {
  id: string;
  userId: string;
  reference: string | null;
  status: string;
  total: number;
  version: number;
  note: string | null;
  metadata: Record<string, string>;
  availableActions: string[];
  createdAt: string;
  updatedAt: string;
  [member: string]: unknown;
}

/** Two lines whose discount and tax do not come out even. */
export const lines = [
  {
    sku: 'TEA-250',
    name: 'Green tea, 250 g',
    quantity: 3,
    unitPrice: 1_299,
    discountPpm: 50_000,
    taxPpm: 190_000,
  },
  { sku: 'CUP-1', name: 'Cup', quantity: 1, unitPrice: 799, taxPpm: 70_000 },
];

/** Creates a user with an e-mail address of its own and returns it. */
export async function createUser(service: TestService, members: object = {}): Promise<UserBody> {
  const user = { name: 'Ada Lovelace', email: `${randomUUID()}@example.com`, ...members };
  const response = await service.send('post', '/v1/users').send(user).expect(201);
  return response.body as UserBody;
}

/** Places an order for the user, or the admin, under a key of its own and returns it. */
export async function placeOrder(
  service: TestService,
  userId: string | undefined,
  members: object = {},
): Promise<OrderBody> {
  const response = await service
    .send('post', '/v1/orders')
    .set('Idempotency-Key', randomUUID())
    .send({ userId, currency: 'EUR', lines, ...members })
    .expect(201);
  return response.body as OrderBody;
}

/** Places an order, of the admin unless a user is named, and brings it to where it takes the command. */
export async function orderThatTakes(
  service: TestService,
  command: string,
  userId?: string,
): Promise<OrderBody> {
  // Free of charge, so that it needs no payment to be completed.
  const free = {
    lines: [{ sku: 'GIFT', name: 'Gift', quantity: 2, unitPrice: command === 'refund' ? 500 : 0 }],
  };
  const order = await placeOrder(service, userId, free);
  const post = (path: string, body: object) =>
    service
      .send('post', `/v1/orders/${order.id}/${path}`)
      .set('Idempotency-Key', randomUUID())
      .send(body)
      .expect(200);
  if (command === 'release') await post('hold', { reason: 'to be released' });
  if (command === 'fulfill' || command === 'complete') await post('confirm', {});
  if (command === 'complete') await post('fulfillments', { lines: [{ position: 1, quantity: 2 }] });
  if (command === 'refund') {
    await post('payments', { amount: 1_000, provider: 'bank', providerReference: randomUUID() });
  }
  return order;
}
