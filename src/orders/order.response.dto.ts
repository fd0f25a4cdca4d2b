import { ApiProperty } from '@nestjs/swagger';
import {
  completeState,
  type OrderLineState,
  type OrderState,
  type StoredOrderState,
} from './order.events.js';
import { availableActions, type OrderCommander } from './life-cycle.js';
import {
  FulfillmentResponse,
  fulfillmentResponse,
  HoldResponse,
  PaymentResponse,
  paymentResponse,
  RefundResponse,
  refundResponse,
} from './posting.response.dto.js';
import {
  type FulfillmentStatus,
  fulfillmentStatuses,
  type OrderStatus,
  orderStatuses,
  type PaymentStatus,
  paymentStatuses,
} from './status.js';

const AMOUNT = { type: 'integer', minimum: 0 } as const;

export class OrderLineResponse implements OrderLineState {
  /** Counts from 1. */
  @ApiProperty({ type: 'integer', minimum: 1 })
  position: number;

  @ApiProperty()
  sku: string;

  @ApiProperty()
  name: string;

  @ApiProperty({ type: 'integer', minimum: 1 })
  quantity: number;

  @ApiProperty(AMOUNT)
  unitPrice: number;

  @ApiProperty(AMOUNT)
  discountPpm: number;

  @ApiProperty(AMOUNT)
  taxPpm: number;

  /** quantity x unitPrice */
  @ApiProperty(AMOUNT)
  subtotal: number;

  /** subtotal x discountPpm / 10^6, rounded half up */
  @ApiProperty(AMOUNT)
  discount: number;

  /** (subtotal - discount) x taxPpm / 10^6, rounded half up */
  @ApiProperty(AMOUNT)
  tax: number;

  /** subtotal - discount + tax */
  @ApiProperty(AMOUNT)
  total: number;

  /** Units sent out. */
  @ApiProperty(AMOUNT)
  fulfilled: number;

  /** Units refunded. */
  @ApiProperty(AMOUNT)
  refunded: number;
}

/** An order; amounts are integers in minor units of its currency. */
export class OrderResponse implements OrderState {
  @ApiProperty({ format: 'uuid' })
  id: string;

  @ApiProperty({ format: 'uuid' })
  userId: string;

  @ApiProperty({ type: String, nullable: true })
  reference: string | null;

  @ApiProperty({ example: 'EUR' })
  currency: string;

  @ApiProperty({ enum: orderStatuses })
  status: OrderStatus;

  /** Where the order was before it was put on hold, and why. */
  @ApiProperty({ type: HoldResponse, nullable: true })
  hold: HoldResponse | null;

  @ApiProperty({ enum: paymentStatuses })
  paymentStatus: PaymentStatus;

  @ApiProperty({ enum: fulfillmentStatuses })
  fulfillmentStatus: FulfillmentStatus;

  @ApiProperty({ type: [OrderLineResponse] })
  lines: OrderLineResponse[];

  @ApiProperty({ type: [PaymentResponse] })
  payments: PaymentResponse[];

  @ApiProperty({ type: [RefundResponse] })
  refunds: RefundResponse[];

  @ApiProperty({ type: [FulfillmentResponse] })
  fulfillments: FulfillmentResponse[];

  @ApiProperty(AMOUNT)
  subtotal: number;

  @ApiProperty(AMOUNT)
  discount: number;

  @ApiProperty(AMOUNT)
  tax: number;

  @ApiProperty(AMOUNT)
  shipping: number;

  @ApiProperty(AMOUNT)
  total: number;

  @ApiProperty(AMOUNT)
  paid: number;

  @ApiProperty(AMOUNT)
  refunded: number;

  /** total - paid */
  @ApiProperty({ type: 'integer' })
  balance: number;

  @ApiProperty({ type: String, nullable: true })
  note: string | null;

  @ApiProperty({ type: 'object', additionalProperties: { type: 'string' } })
  metadata: Record<string, string>;

  /** Commands that the order takes now from the caller. */
  @ApiProperty({ type: [String], example: ['cancel'] })
  availableActions: string[];

  /** Counts the changes from 1; also the ETag. */
  @ApiProperty({ type: 'integer', minimum: 1 })
  version: number;

  @ApiProperty({ format: 'date-time' })
  placedAt: string;

  @ApiProperty({ format: 'date-time' })
  createdAt: string;

  @ApiProperty({ format: 'date-time' })
  updatedAt: string;
}

/**
 * What a caller sees of a state, with the commands that are theirs to give, whether it comes from rows or from an event: members always in the same order, so that
 * a replayed answer equals the first one to the byte.
 */
export function toResponse(stored: StoredOrderState, by: OrderCommander | undefined): OrderResponse {
  const state = completeState(stored);
  const { hold, payments, refunds, fulfillments } = state;
  return {
    id: state.id,
    userId: state.userId,
    reference: state.reference,
    currency: state.currency,
    status: state.status,
    hold: hold && { from: hold.from, reason: hold.reason },
    paymentStatus: state.paymentStatus,
    fulfillmentStatus: state.fulfillmentStatus,
    lines: state.lines.map(toLineResponse),
    payments: payments.map(paymentResponse),
    refunds: refunds.map(refundResponse),
    fulfillments: fulfillments.map(fulfillmentResponse),
    subtotal: state.subtotal,
    discount: state.discount,
    tax: state.tax,
    shipping: state.shipping,
    total: state.total,
    paid: state.paid,
    refunded: state.refunded,
    balance: state.total - state.paid,
    note: state.note,
    metadata: Object.fromEntries(Object.entries(state.metadata).sort(([a], [b]) => (a < b ? -1 : 1))),
    availableActions: availableActions({ ...state, heldFrom: hold?.from ?? null }, by),
    version: state.version,
    placedAt: state.placedAt,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
  };
}

function toLineResponse(line: OrderLineState): OrderLineResponse {
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
    fulfilled: line.fulfilled,
    refunded: line.refunded,
  };
}
