import type { ActionOf, SubjectState } from '../database/event.js';
import { inWords } from './money.js';
import type { Order, OrderLine } from './order.entity.js';
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
export interface OrderState extends SubjectState {
  readonly userId: string;
  readonly reference: string | null;
  readonly currency: string;
  readonly status: OrderStatus;
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
    'order.cancelled': OrderState;
  }
}

/** The state of an order's rows. */
export function orderState(order: Order): OrderState {
  return {
    id: order.id,
    userId: order.userId,
    reference: order.reference,
    currency: order.currency,
    status: order.status,
    paymentStatus: order.paymentStatus,
    fulfillmentStatus: order.fulfillmentStatus,
    lines: order.lines.map(lineState).sort((a, b) => a.position - b.position),
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

function lineState(line: OrderLine): OrderLineState {
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
    // Nothing can be sent out or refunded yet.
    fulfilled: 0,
    refunded: 0,
  };
}

/** An order's event in words. */
export function summarizeOrderEvent(action: ActionOf<'order'>, order: OrderState): string {
  switch (action) {
    case 'order.placed': {
      const lines = order.lines.length === 1 ? '1 line' : `${order.lines.length} lines`;
      return `Order placed: ${lines}, ${inWords(order.total, order.currency)} in total`;
    }
    case 'order.cancelled':
      return 'Order cancelled';
    case 'order.updated':
      return 'Order updated';
  }
}
