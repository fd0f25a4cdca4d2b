import { column, numberedFrom, Statement } from '../database/statement.js';
import type { Transaction } from '../database/transaction.js';
import type { OrderLineState, OrderState } from './order.events.js';

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
} satisfies Partial<Record<keyof OrderState, string>>;

/** Those of its lines, beside the order and the version with which they came. */
const LINE = {
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
} satisfies Partial<Record<keyof OrderLineState, string>>;

const orderMembers = Object.keys(ORDER) as (keyof typeof ORDER)[];
const lineMembers = Object.keys(LINE) as (keyof typeof LINE)[];

/**
 * CTEs that create those of the `wanted` orders whose users exist, not erased, and whose references are free, with their
 * lines, and list them as `created`; `orderValues` has the parameters. Sorted, so that two transactions that give the
 * same references cannot wait for each other; of two with the same reference the first is placed. The users are kept
 * from being erased meanwhile.
 */
export const ORDERS_CREATED = `
  created AS (
    INSERT INTO orders (${columnsOf(orderMembers)})
    SELECT ${columnsOf(orderMembers, 'new_order.')}
      FROM unnest(${parametersOf(Object.values(ORDER), 1)})
             WITH ORDINALITY AS new_order (${columnsOf(orderMembers)}, place)
      JOIN wanted ON wanted.id = new_order.id
      JOIN users ON users.id = new_order.user_id AND users.status <> 'erased'
      ORDER BY new_order.user_id, new_order.reference, new_order.place
        FOR KEY SHARE OF users
    ON CONFLICT ON CONSTRAINT orders_reference_key DO NOTHING
    RETURNING id
  ),
  lines AS (
    INSERT INTO order_lines (order_id, order_version, ${columnsOf(lineMembers)})
    SELECT line.order_id, 1, ${columnsOf(lineMembers, 'line.')}
      FROM unnest(${parametersOf(['uuid', ...Object.values(LINE)], orderMembers.length + 1)})
             AS line (order_id, ${columnsOf(lineMembers)})
      JOIN created ON created.id = line.order_id
  )`;

const INSERT_ORDERS = new Statement<{ id: string }>(
  'insert orders',
  `WITH wanted AS (SELECT unnest($1::uuid[]) AS id), ${numberedFrom(2, ORDERS_CREATED)} SELECT id FROM created`,
);

/** Inserts new orders with their lines, and returns the ids of those to which nothing was opposed. */
export async function insertOrders(tx: Transaction, orders: readonly OrderState[]): Promise<Set<string>> {
  if (orders.length === 0) return new Set();
  const rows = await INSERT_ORDERS.run(tx, [column(orders, 'id'), ...orderValues(orders)]);
  return new Set(column(rows, 'id'));
}

/** The parameters of `ORDERS_CREATED`. */
export function orderValues(orders: readonly OrderState[]): readonly unknown[][] {
  const lines = orders.flatMap((order) => order.lines);
  return [
    ...orderMembers.map((member) => column(orders, member)),
    orders.flatMap((order) => order.lines.map(() => order.id)),
    ...lineMembers.map((member) => column(lines, member)),
  ];
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
