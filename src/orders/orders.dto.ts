import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional, IsUUID, Matches } from 'class-validator';
import { Compiled } from '../http/compiled-contract.js';
import { PageQuery } from '../http/page.dto.js';
import {
  IsCurrency,
  IsInstant,
  IsInteger,
  IsIntegerParameter,
  IsMetadata,
  IsListOf,
  IsPresent,
  IsText,
} from '../http/validators.js';
import { MAX_AMOUNT } from './money.js';
import {
  type FulfillmentStatus,
  fulfillmentStatuses,
  type OrderStatus,
  orderStatuses,
  type PaymentStatus,
  paymentStatuses,
} from './status.js';

const AMOUNT = { type: 'integer', minimum: 0, maximum: MAX_AMOUNT } as const;
const PPM = { type: 'integer', minimum: 0, maximum: 1_000_000, default: 0 } as const;

export class PlaceOrderLine {
  @ApiProperty({ minLength: 1, maxLength: 64, example: 'TEA-250' })
  @IsText(1, 64)
  sku: string;

  @ApiProperty({ minLength: 1, maxLength: 200, example: 'Green tea, 250 g' })
  @IsText(1, 200)
  name: string;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: 1_000_000, example: 3 })
  @IsInteger(1, 1_000_000)
  quantity: number;

  /** In minor units of the currency. */
  @ApiProperty({ ...AMOUNT, example: 1_299 })
  @IsInteger(0, MAX_AMOUNT)
  unitPrice: number;

  /** Discount in parts per million of the subtotal. */
  @ApiPropertyOptional({ ...PPM, example: 50_000 })
  @IsPresent()
  @IsInteger(0, 1_000_000)
  discountPpm: number = 0;

  /** Tax in parts per million of the discounted subtotal. */
  @ApiPropertyOptional({ ...PPM, example: 190_000 })
  @IsPresent()
  @IsInteger(0, 1_000_000)
  taxPpm: number = 0;
}

@Compiled()
export class PlaceOrder {
  /** Whose order it is: the caller's own when left out, which an API key cannot do. */
  @ApiPropertyOptional({ format: 'uuid' })
  @IsPresent()
  @IsUUID()
  userId?: string;

  /** The order's name in your own books; unique per user for ever. */
  @ApiPropertyOptional({ minLength: 1, maxLength: 100, example: 'SHOP-1001' })
  @IsOptional()
  @IsText(1, 100)
  reference?: string | null;

  /** ISO 4217. */
  @ApiProperty({ pattern: '^[A-Z]{3}$', example: 'EUR' })
  @IsCurrency()
  currency: string;

  @ApiProperty({ type: [PlaceOrderLine], minItems: 1, maxItems: 200 })
  @IsListOf(PlaceOrderLine, 1, 200)
  lines: PlaceOrderLine[];

  /** In minor units of the currency. */
  @ApiPropertyOptional({ ...AMOUNT, default: 0, example: 490 })
  @IsPresent()
  @IsInteger(0, MAX_AMOUNT)
  shipping: number = 0;

  /** When the order was placed, if that was before now. Not for customers. */
  @ApiPropertyOptional({ format: 'date-time' })
  @IsPresent()
  @IsInstant()
  placedAt?: string;

  /** Up to 2,000 characters. Not for personal data. */
  @ApiPropertyOptional({ maxLength: 2_000, nullable: true, type: String })
  @IsOptional()
  @IsText(0, 2_000)
  note?: string | null;

  /** Up to 50 members with texts of up to 500 characters. Not for personal data. */
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: { type: 'string', maxLength: 500 },
    maxProperties: 50,
  })
  @IsPresent()
  @IsMetadata()
  metadata: Record<string, string> = {};

  /** `totalsHash` of a preview: the order is placed only if it still comes to the same totals. */
  @ApiPropertyOptional({ pattern: '^[0-9a-fA-F]{64}$' })
  @IsPresent()
  @Matches(/^[0-9a-f]{64}$/i, { message: '$property must be 64 hexadecimal digits' })
  expectedTotalsHash?: string;
}

/** JSON merge patch (RFC 7396) of an order. */
export class UpdateOrder {
  /** Up to 2,000 characters, null for none. Not for personal data. */
  @ApiPropertyOptional({ maxLength: 2_000, nullable: true, type: String, example: 'Leave at the side door' })
  @IsOptional()
  @IsText(0, 2_000)
  note?: string | null;

  /** Members to set, null for those to remove; null altogether removes all. Not for personal data. */
  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: { type: 'string', maxLength: 500, nullable: true },
    nullable: true,
  })
  @IsOptional()
  @IsMetadata({ patch: true })
  metadata?: Record<string, string | null> | null;
}

export class OrderMoment {
  /** The order as this version left it. */
  @ApiPropertyOptional({ type: 'integer', minimum: 1 })
  @IsOptional()
  @IsIntegerParameter(1, 2_147_483_647)
  version?: number;

  /** The order as it was at this instant; not together with `version`. */
  @ApiPropertyOptional({ format: 'date-time' })
  @IsOptional()
  @IsInstant()
  asOf?: string;
}

export class OrderQuery extends PageQuery {
  @ApiPropertyOptional({ format: 'uuid' })
  @IsOptional()
  @IsUUID()
  userId?: string;

  @ApiPropertyOptional({ enum: orderStatuses })
  @IsOptional()
  @IsIn(orderStatuses)
  status?: OrderStatus;

  @ApiPropertyOptional({ enum: paymentStatuses })
  @IsOptional()
  @IsIn(paymentStatuses)
  paymentStatus?: PaymentStatus;

  @ApiPropertyOptional({ enum: fulfillmentStatuses })
  @IsOptional()
  @IsIn(fulfillmentStatuses)
  fulfillmentStatus?: FulfillmentStatus;

  @ApiPropertyOptional({ pattern: '^[A-Z]{3}$' })
  @IsOptional()
  @IsCurrency()
  currency?: string;

  @ApiPropertyOptional()
  @IsOptional()
  @IsText(1, 100)
  reference?: string;

  /** Orders with a line of this article. */
  @ApiPropertyOptional()
  @IsOptional()
  @IsText(1, 64)
  sku?: string;

  /** Placed at this instant or later. */
  @ApiPropertyOptional({ format: 'date-time' })
  @IsOptional()
  @IsInstant()
  placedFrom?: string;

  /** Placed before this instant. */
  @ApiPropertyOptional({ format: 'date-time' })
  @IsOptional()
  @IsInstant()
  placedTo?: string;

  /** In minor units. */
  @ApiPropertyOptional(AMOUNT)
  @IsOptional()
  @IsIntegerParameter(0, MAX_AMOUNT)
  totalMin?: number;

  /** In minor units. */
  @ApiPropertyOptional(AMOUNT)
  @IsOptional()
  @IsIntegerParameter(0, MAX_AMOUNT)
  totalMax?: number;
}
