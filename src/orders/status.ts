import { Problem } from '../problems/problem.js';

export const orderStatuses = ['placed', 'confirmed', 'on_hold', 'completed', 'cancelled'] as const;
export type OrderStatus = (typeof orderStatuses)[number];

export const paymentStatuses = [
  'not_required',
  'unpaid',
  'partially_paid',
  'paid',
  'overpaid',
  'partially_refunded',
  'refunded',
] as const;
export type PaymentStatus = (typeof paymentStatuses)[number];

export const fulfillmentStatuses = ['unfulfilled', 'partially_fulfilled', 'fulfilled'] as const;
export type FulfillmentStatus = (typeof fulfillmentStatuses)[number];

/** Who gives a command: a customer to an own order, the staff (also an API key) to any. */
export type OrderCommander = 'customer' | 'staff';

/** Which statuses each command starts from, by who gives it, and where it leads. */
const transitions = {
  cancel: { from: { customer: ['placed'], staff: ['placed', 'confirmed', 'on_hold'] }, to: 'cancelled' },
} as const satisfies Record<
  string,
  { from: Record<OrderCommander, readonly OrderStatus[]>; to: OrderStatus }
>;

export type OrderCommand = keyof typeof transitions;

/** The commands that an order in this status takes from this commander; none from nobody. */
export function availableActions(status: OrderStatus, by: OrderCommander | undefined): OrderCommand[] {
  return Object.entries(transitions).flatMap(([command, { from }]) =>
    by !== undefined && from[by].some((each) => each === status) ? [command as OrderCommand] : [],
  );
}

/** The status after the command; throws `illegal-transition` when the order does not take it now. */
export function statusAfter(
  status: OrderStatus,
  command: OrderCommand,
  by: OrderCommander | undefined,
): OrderStatus {
  const allowed = availableActions(status, by);
  if (!allowed.includes(command)) {
    throw new Problem(
      'illegal-transition',
      `An order that is ${status} does not take the command ${command}${by === 'customer' ? ' from a customer' : ''}.`,
      { members: { from: status, allowed } },
    );
  }
  return transitions[command].to;
}

/** The payment status of an order on which nothing was paid yet. */
export function unpaidStatus(total: number): PaymentStatus {
  return total === 0 ? 'not_required' : 'unpaid';
}
