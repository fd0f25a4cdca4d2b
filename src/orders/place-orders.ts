import { type Change, timeOfChange } from '../database/event.js';
import { newId } from '../database/new-id.js';
import { column } from '../database/statement.js';
import type { Transaction } from '../database/transaction.js';
import { type Access, forbidden, reaches } from '../http/access.js';
import { invalid, Problem } from '../problems/problem.js';
import { reachableUsers } from '../users/users.repository.js';
import { insertOrders } from './insert-orders.js';
import { type Amounts, priceLine, sumLines } from './money.js';
import type { Order } from './order.entity.js';
import { orderState } from './order.events.js';
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
  const orders = placements.map(toOrder);
  const expected = placements.map((placement) => totalsRefusal(placement));
  const placed = await insertOrders(
    tx,
    orders.filter((_, index) => expected[index] === undefined),
  );
  const refused = placements.filter((_, index) => !placed.has(orders[index]?.id ?? ''));
  const known = refused.length > 0 ? await reachableUsers(tx, column(refused, 'userId')) : new Set<string>();
  return orders.map((order, index) => {
    if (placed.has(order.id)) return { action: 'order.placed', state: orderState(order) };
    const placement = placements[index];
    return (placement && refusalOf(placement, known)) ?? referenceTaken();
  });
}

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

function toOrder({ userId, order, lines, amounts }: Placement): Order {
  const id = newId();
  const now = timeOfChange();
  return {
    id,
    version: 1,
    userId,
    reference: order.reference ?? null,
    currency: order.currency,
    status: 'placed',
    heldFrom: null,
    holdReason: null,
    paymentStatus: paymentStatusOf(amounts.total, 0, 0),
    fulfillmentStatus: 'unfulfilled',
    ...amounts,
    shipping: order.shipping,
    paid: 0,
    refunded: 0,
    note: order.note ?? null,
    metadata: order.metadata,
    placedAt: order.placedAt === undefined ? now : new Date(order.placedAt),
    createdAt: now,
    updatedAt: now,
    lines: lines.map((line, index) => ({ ...line, orderId: id, orderVersion: 1, position: index + 1 })),
  };
}
