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

/** How far an order is paid; the first that applies (amounts in minor units). */
export function paymentStatusOf(total: number, paid: number, refunded: number): PaymentStatus {
  if (paid === 0) return total === 0 ? 'not_required' : 'unpaid';
  if (refunded === paid) return 'refunded';
  if (paid - refunded > total) return 'overpaid';
  if (paid < total) return 'partially_paid';
  return paid - refunded < total ? 'partially_refunded' : 'paid';
}

/** How far the lines are sent out, in units. */
export function fulfillmentStatusOf(
  lines: readonly { readonly quantity: number; readonly fulfilled: number }[],
): FulfillmentStatus {
  if (lines.every(({ quantity, fulfilled }) => fulfilled === quantity)) return 'fulfilled';
  return lines.some(({ fulfilled }) => fulfilled > 0) ? 'partially_fulfilled' : 'unfulfilled';
}
