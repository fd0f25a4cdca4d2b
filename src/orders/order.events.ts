import type { SubjectState } from '../database/event.js';
import type { Order, OrderLine } from './order.entity.js';
import { NO_POSTINGS, type Postings, type Units } from './postings.js';
import type { FulfillmentStatus, OrderStatus, PaymentStatus } from './status.js';

export interface OrderLineState {
  readonly position: number;
  readonly sku: string;
  readonly name: string;
  readonly quantity: number;
  readonly unitPrice: number;
  readonly discountPpm: number;
  readonly taxPpm: number;
  readonly subtotal: number;
  readonly discount: number;
  readonly tax: number;
  readonly total: number;
  /** Units that were sent out, and units that were refunded. */
  readonly fulfilled: number;
  readonly refunded: number;
}

/** An order as events record it; amounts are integers in minor units of `currency`. */
export interface OrderState extends SubjectState, Postings {
  readonly userId: string;
  readonly reference: string | null;
  readonly currency: string;
  readonly status: OrderStatus;
  /** Where the order was before it was put on hold, and why; null when it is not. */
  readonly hold: { readonly from: OrderStatus; readonly reason: string } | null;
  readonly paymentStatus: PaymentStatus;
  readonly fulfillmentStatus: FulfillmentStatus;
  readonly lines: readonly OrderLineState[];
  readonly subtotal: number;
  readonly discount: number;
  readonly tax: number;
  readonly shipping: number;
  readonly total: number;
  readonly paid: number;
  readonly refunded: number;
  readonly note: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly placedAt: string;
}

declare module '../database/event.js' {
  interface EventStates {
    'order.placed': OrderState;
    'order.updated': OrderState;
    'order.confirmed': OrderState;
    'order.held': OrderState;
    'order.released': OrderState;
    'order.cancelled': OrderState;
    'order.completed': OrderState;
    'order.paid': OrderState;
    'order.refunded': OrderState;
    'order.fulfilled': OrderState;
  }
}

/** A state as an event holds it: those of the first weeks tell of no holds and postings, of which there were none. */
export type StoredOrderState = Omit<OrderState, Later> & Partial<Pick<OrderState, Later>>;
type Later = 'hold' | keyof Postings;

/** The state with all members that states have by now. */
export function completeState(stored: StoredOrderState): OrderState {
  return { hold: null, ...NO_POSTINGS, ...stored };
}

/** The state of an order's rows, among them what was posted to it. */
export function orderState(order: Order, postings: Postings = NO_POSTINGS): OrderState {
  return {
    id: order.id,
    userId: order.userId,
    reference: order.reference,
    currency: order.currency,
    status: order.status,
    hold:
      order.heldFrom === null || order.holdReason === null
        ? null
        : { from: order.heldFrom, reason: order.holdReason },
    paymentStatus: order.paymentStatus,
    fulfillmentStatus: order.fulfillmentStatus,
    lines: order.lines.map((line) => lineState(line, postings)).sort((a, b) => a.position - b.position),
    ...postings,
    subtotal: order.subtotal,
    discount: order.discount,
    tax: order.tax,
    shipping: order.shipping,
    total: order.total,
    paid: order.paid,
    refunded: order.refunded,
    note: order.note,
    metadata: order.metadata,
    version: order.version,
    placedAt: order.placedAt.toISOString(),
    createdAt: order.createdAt.toISOString(),
    updatedAt: order.updatedAt.toISOString(),
  };
}

function lineState(line: OrderLine, { refunds, fulfillments }: Postings): OrderLineState {
  return {
    position: line.position,
    sku: line.sku,
    name: line.name,
    quantity: line.quantity,
    unitPrice: line.unitPrice,
    discountPpm: line.discountPpm,
    taxPpm: line.taxPpm,
    subtotal: line.subtotal,
    discount: line.discount,
    tax: line.tax,
    total: line.total,
    fulfilled: unitsOf(line, fulfillments),
    refunded: unitsOf(line, refunds),
  };
}

function unitsOf({ position }: OrderLine, postings: readonly { readonly lines: readonly Units[] }[]): number {
  const units = postings.flatMap(({ lines }) => lines.filter((line) => line.position === position));
  return units.reduce((sum, { quantity }) => sum + quantity, 0);
}
