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

/** Places an order for the user under a key of its own and returns it. */
export async function placeOrder(
  service: TestService,
  userId: string,
  members: object = {},
): Promise<OrderBody> {
  const response = await service
    .send('post', '/v1/orders')
    .set('Idempotency-Key', randomUUID())
    .send({ userId, currency: 'EUR', lines, ...members })
    .expect(201);
  return response.body as OrderBody;
}
