import { type Change, timeOfChange } from '../database/event.js';
import { newId } from '../database/new-id.js';
import type { Creation } from '../database/direct-write.js';
import { column } from '../database/statement.js';
import type { Transaction } from '../database/transaction.js';
import { type Access, forbidden, reaches } from '../http/access.js';
import { invalid, Problem } from '../problems/problem.js';
import { reachableUsers } from '../users/users.repository.js';
import { insertOrders, ORDERS_CREATED, orderValues } from './insert-orders.js';
import { type Amounts, priceLine, sumLines } from './money.js';
import type { OrderLineState, OrderState } from './order.events.js';
import type { PlaceOrder, PlaceOrderLine } from './orders.dto.js';
import { totalsHash } from './preview-hash.js';
import { paymentStatusOf } from './status.js';

/** An order that is ready to be placed but for what only the database knows. */
export interface Placement {
  readonly userId: string;
  readonly order: PlaceOrder;
  readonly lines: readonly (PlaceOrderLine & Amounts)[];
  readonly amounts: Amounts;
}

/**
 * Prices an order and checks what can be checked without the database. Throws `forbidden` for a customer who orders for
 * somebody else or in the past, `validation-failed` where an API key names no user or for a time to come,
 * `money-overflow` for amounts that are too large.
 */
export function preparePlacement(order: PlaceOrder, access: Access): Placement {
  const userId = order.userId?.toLowerCase() ?? (access.actor.type === 'user' ? access.actor.id : undefined);
  if (userId === undefined) {
    throw invalid([{ pointer: '/userId', code: 'required', detail: 'userId is required with an API key' }]);
  }
  if (!reaches(access, userId)) throw forbidden('A customer orders for nobody else.');
  if (order.placedAt !== undefined && access.reach === 'own') {
    throw forbidden('placedAt is for staff and API keys.');
  }
  if (order.placedAt !== undefined && Date.parse(order.placedAt) > Date.now()) {
    throw invalid([{ pointer: '/placedAt', code: 'future', detail: 'placedAt must not be in the future' }]);
  }
  const lines = order.lines.map((line) => ({ ...line, ...priceLine(line) }));
  return { userId, order, lines, amounts: sumLines(lines, order.shipping) };
}

/**
 * Places any number of orders in the open transaction and answers one outcome for each: `validation-failed` for an
 * unknown user, `totals-changed` for totals that are not those expected, `already-exists` for a reference that the user
 * has given before.
 */
export async function placeOrders(
  tx: Transaction,
  placements: readonly Placement[],
): Promise<(Change<'order.placed'> | Problem)[]> {
  const orders = placements.map(newOrder);
  const expected = placements.map((placement) => totalsRefusal(placement));
  const placed = await insertOrders(
    tx,
    orders.filter((_, index) => expected[index] === undefined),
  );
  const refused = placements.filter((_, index) => !placed.has(orders[index]?.id ?? ''));
  const known = refused.length > 0 ? await reachableUsers(tx, column(refused, 'userId')) : new Set<string>();
  return orders.map((order, index) => {
    if (placed.has(order.id)) return { action: 'order.placed', state: order };
    const placement = placements[index];
    return (placement && refusalOf(placement, known)) ?? referenceTaken();
  });
}

/** The same without the reasons: what is not placed goes through `placeOrders`. */
export const orderCreation: Creation<'order.placed', Placement> = {
  name: 'place orders',
  ctes: ORDERS_CREATED,
  changeOf: (placement) =>
    totalsRefusal(placement) ? undefined : { action: 'order.placed', state: newOrder(placement) },
  values: orderValues,
};

/** Why an order is not placed whatever its reference, `known` being the users there are; else undefined. */
export function refusalOf(placement: Placement, known: ReadonlySet<string>): Problem | undefined {
  if (!known.has(placement.userId)) {
    return invalid([{ pointer: '/userId', code: 'unknown', detail: 'There is no such user.' }]);
  }
  return totalsRefusal(placement);
}

/** Why an order is not placed whatever the database holds: it comes to other totals than the caller expects. */
function totalsRefusal(placement: Placement): Problem | undefined {
  const expected = placement.order.expectedTotalsHash?.toLowerCase();
  if (expected === undefined) return undefined;
  const current = totalsHash(placement);
  if (expected === current) return undefined;
  return new Problem('totals-changed', 'The order comes to other totals than expected.', {
    members: { totalsHash: current },
  });
}

/** A reference is an order's for ever. */
export function referenceTaken(): Problem {
  return new Problem('already-exists', 'The user has an order with this reference.', {
    members: { field: 'reference' },
  });
}

/** The state of an order that is placed now, its members in the order that they are stored in. */
function newOrder({ userId, order, lines, amounts }: Placement): OrderState {
  const now = timeOfChange().toISOString();
  return {
    createdAt: now,
    currency: order.currency,
    discount: amounts.discount,
    fulfillmentStatus: 'unfulfilled',
    fulfillments: [],
    hold: null,
    id: newId(),
    lines: lines.map(newLine),
    metadata: order.metadata,
    note: order.note ?? null,
    paid: 0,
    paymentStatus: paymentStatusOf(amounts.total, 0, 0),
    payments: [],
    placedAt: order.placedAt === undefined ? now : new Date(order.placedAt).toISOString(),
    reference: order.reference ?? null,
    refunded: 0,
    refunds: [],
    shipping: order.shipping,
    status: 'placed',
    subtotal: amounts.subtotal,
    tax: amounts.tax,
    total: amounts.total,
    updatedAt: now,
    userId,
    version: 1,
  };
}

function newLine(line: Placement['lines'][number], index: number): OrderLineState {
  return {
    discount: line.discount,
    discountPpm: line.discountPpm,
    fulfilled: 0,
    name: line.name,
    position: index + 1,
    quantity: line.quantity,
    refunded: 0,
    sku: line.sku,
    subtotal: line.subtotal,
    tax: line.tax,
    taxPpm: line.taxPpm,
    total: line.total,
    unitPrice: line.unitPrice,
  };
}
