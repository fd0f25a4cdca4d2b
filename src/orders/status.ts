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

/** Which statuses each command starts from, and where it leads. */
const transitions = {
  cancel: { from: ['placed', 'confirmed', 'on_hold'], to: 'cancelled' },
} as const satisfies Record<string, { from: readonly OrderStatus[]; to: OrderStatus }>;

export type OrderCommand = keyof typeof transitions;

/** The commands that an order in this status takes. */
export function availableActions(status: OrderStatus): OrderCommand[] {
  return Object.entries(transitions).flatMap(([command, { from }]) =>
    from.some((each) => each === status) ? [command as OrderCommand] : [],
  );
}

/** The status after the command; throws `illegal-transition` when the order does not take it now. */
export function statusAfter(status: OrderStatus, command: OrderCommand): OrderStatus {
  const allowed = availableActions(status);
  if (!allowed.includes(command)) {
    throw new Problem(
      'illegal-transition',
      `An order that is ${status} does not take the command ${command}.`,
      {
        members: { from: status, allowed },
      },
    );
  }
  return transitions[command].to;
}

/** The payment status of an order on which nothing was paid yet. */
export function unpaidStatus(total: number): PaymentStatus {
  return total === 0 ? 'not_required' : 'unpaid';
}
