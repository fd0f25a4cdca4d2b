import { ApiProperty } from '@nestjs/swagger';
import type { Fulfillment, Payment, Refund, RefundedUnits, Units } from './postings.js';
import { type OrderStatus, orderStatuses } from './status.js';

const AMOUNT = { type: 'integer', minimum: 0 } as const;

export class HoldResponse {
  @ApiProperty({ enum: orderStatuses })
  from: OrderStatus;

  @ApiProperty()
  reason: string;
}

class UnitsResponse implements Units {
  @ApiProperty({ type: 'integer', minimum: 1 })
  position: number;

  @ApiProperty({ type: 'integer', minimum: 1 })
  quantity: number;
}

class RefundedUnitsResponse extends UnitsResponse implements RefundedUnits {
  /** The share of the line's total. */
  @ApiProperty(AMOUNT)
  amount: number;
}

class PostingResponse {
  /** The order's version that it made; the event of that version says who. */
  @ApiProperty({ type: 'integer', minimum: 2 })
  version: number;

  @ApiProperty({ format: 'date-time' })
  at: string;
}

export class PaymentResponse extends PostingResponse implements Payment {
  @ApiProperty(AMOUNT)
  amount: number;

  @ApiProperty()
  provider: string;

  @ApiProperty()
  providerReference: string;

  @ApiProperty({ type: String, nullable: true })
  method: string | null;
}

export class RefundResponse extends PostingResponse implements Refund {
  @ApiProperty(AMOUNT)
  amount: number;

  @ApiProperty()
  reason: string;

  /** Empty unless it was made by units of lines. */
  @ApiProperty({ type: [RefundedUnitsResponse] })
  lines: RefundedUnitsResponse[];
}

export class FulfillmentResponse extends PostingResponse implements Fulfillment {
  @ApiProperty({ type: [UnitsResponse] })
  lines: UnitsResponse[];

  @ApiProperty({ type: String, nullable: true })
  carrier: string | null;

  @ApiProperty({ type: String, nullable: true })
  trackingNumber: string | null;
}

/** A payment as clients see it: members always in the same order. */
export function paymentResponse(payment: Payment): PaymentResponse {
  const { version, at, amount, provider, providerReference, method } = payment;
  return { version, at, amount, provider, providerReference, method };
}

/** A refund as clients see it. */
export function refundResponse({ version, at, amount, reason, lines }: Refund): RefundResponse {
  const units = lines.map((line) => ({ ...unitsResponse(line), amount: line.amount }));
  return { version, at, amount, reason, lines: units };
}

/** A fulfillment as clients see it. */
export function fulfillmentResponse(sent: Fulfillment): FulfillmentResponse {
  const { version, at, lines, carrier, trackingNumber } = sent;
  return { version, at, lines: lines.map(unitsResponse), carrier, trackingNumber };
}

function unitsResponse({ position, quantity }: Units): UnitsResponse {
  return { position, quantity };
}
