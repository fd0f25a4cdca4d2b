import { column, Statement } from '../database/statement.js';
import type { Transaction } from '../database/transaction.js';
import type { Order, OrderLine } from './order.entity.js';

/** The columns of a new order by its members, with their types; what is left out is null. */
const ORDER = {
  id: 'uuid',
  version: 'integer',
  userId: 'uuid',
  reference: 'text',
  currency: 'text',
  status: 'text',
  paymentStatus: 'text',
  fulfillmentStatus: 'text',
  subtotal: 'bigint',
  discount: 'bigint',
  tax: 'bigint',
  shipping: 'bigint',
  total: 'bigint',
  paid: 'bigint',
  refunded: 'bigint',
  note: 'text',
  metadata: 'jsonb',
  placedAt: 'timestamptz',
  createdAt: 'timestamptz',
  updatedAt: 'timestamptz',
} satisfies Partial<Record<keyof Order, string>>;

const LINE = {
  orderId: 'uuid',
  orderVersion: 'integer',
  position: 'integer',
  sku: 'text',
  name: 'text',
  quantity: 'integer',
  unitPrice: 'bigint',
  discountPpm: 'integer',
  taxPpm: 'integer',
  subtotal: 'bigint',
  discount: 'bigint',
  tax: 'bigint',
  total: 'bigint',
} satisfies Partial<Record<keyof OrderLine, string>>;

const orderMembers = Object.keys(ORDER) as (keyof typeof ORDER)[];
const lineMembers = Object.keys(LINE) as (keyof typeof LINE)[];

// Sorted, so that two transactions that give the same references cannot wait for each other; of two with the same
// reference the first is placed. The users are kept from being erased meanwhile.
const INSERT_ORDERS = new Statement<{ id: string }>(
  'insert orders',
  `WITH placed AS (
     INSERT INTO orders (${columnsOf(orderMembers)})
     SELECT ${columnsOf(orderMembers, 'wanted.')}
       FROM unnest(${parametersOf(Object.values(ORDER), 1)})
              WITH ORDINALITY AS wanted (${columnsOf(orderMembers)}, place)
       JOIN users ON users.id = wanted.user_id AND users.status <> 'erased'
       ORDER BY wanted.user_id, wanted.reference, wanted.place
         FOR KEY SHARE OF users
     ON CONFLICT ON CONSTRAINT orders_reference_key DO NOTHING
     RETURNING id
   ), lines AS (
     INSERT INTO order_lines (${columnsOf(lineMembers)})
     SELECT ${columnsOf(lineMembers, 'line.')}
       FROM unnest(${parametersOf(Object.values(LINE), orderMembers.length + 1)}) AS line (${columnsOf(lineMembers)})
       JOIN placed ON placed.id = line.order_id
   )
   SELECT id FROM placed`,
);

/**
 * Inserts the orders whose users exist, not erased, and whose references are free, with their lines, and returns the ids of those
 * orders.
 */
export async function insertOrders(tx: Transaction, orders: readonly Order[]): Promise<Set<string>> {
  if (orders.length === 0) return new Set();
  const lines = orders.flatMap((order) => order.lines);
  const rows = await INSERT_ORDERS.run(tx, [
    ...orderMembers.map((member) => column(orders, member)),
    ...lineMembers.map((member) => column(lines, member)),
  ]);
  return new Set(column(rows, 'id'));
}

function columnsOf(members: readonly string[], prefix = ''): string {
  return members
    .map((member) => prefix + member.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
    .join(', ');
}

/** `$1::uuid[], $2::text[]` and so on, from `$first`. */
function parametersOf(types: readonly string[], first: number): string {
  return types.map((type, index) => `$${first + index}::${type}[]`).join(', ');
}
