import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Equals, IsIn } from 'class-validator';
import { OptionalBody } from '../http/contract.pipe.js';
import { IsInteger, IsListOf, IsPresent, IsText } from '../http/validators.js';
import { MAX_AMOUNT } from './money.js';

const REASON = { minLength: 1, maxLength: 500, example: 'Customer asked for it' } as const;

/** A command that needs nothing said. */
@OptionalBody()
export class PlainCommand {}

export class HoldOrder {
  /** Not for personal data. */
  @ApiProperty(REASON)
  @IsText(1, 500)
  reason: string;
}

@OptionalBody()
export class CancelOrder {
  /** Required where money is held: whether it goes back. */
  @ApiPropertyOptional({ enum: ['full', 'none'] })
  @IsPresent()
  @IsIn(['full', 'none'])
  refund?: 'full' | 'none';
}

export class PayOrder {
  /** In minor units of the order's currency. */
  @ApiProperty({ type: 'integer', minimum: 1, maximum: MAX_AMOUNT, example: 4_711 })
  @IsInteger(1, MAX_AMOUNT)
  amount: number;

  /** Who took the money. */
  @ApiProperty({ minLength: 1, maxLength: 100, example: 'stripe' })
  @IsText(1, 100)
  provider: string;

  /** The provider's name of the payment; each is booked once. */
  @ApiProperty({ minLength: 1, maxLength: 200, example: 'ch_3Ordo' })
  @IsText(1, 200)
  providerReference: string;

  @ApiPropertyOptional({ minLength: 1, maxLength: 100, example: 'card' })
  @IsPresent()
  @IsText(1, 100)
  method?: string;
}

export class LineUnits {
  /** Of the line in the order; counts from 1. */
  @ApiProperty({ type: 'integer', minimum: 1, maximum: 200, example: 1 })
  @IsInteger(1, 200)
  position: number;

  @ApiProperty({ type: 'integer', minimum: 1, maximum: 1_000_000, example: 1 })
  @IsInteger(1, 1_000_000)
  quantity: number;
}

/** One of `amount`, `lines` and `full`. */
export class RefundOrder {
  /** In minor units of the order's currency. */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: MAX_AMOUNT })
  @IsPresent()
  @IsInteger(1, MAX_AMOUNT)
  amount?: number;

  /** Units whose share of their lines' totals goes back. */
  @ApiPropertyOptional({ type: [LineUnits], minItems: 1, maxItems: 200 })
  @IsPresent()
  @IsListOf(LineUnits, 1, 200)
  lines?: LineUnits[];

  /** All that was paid and has not gone back yet. */
  @ApiPropertyOptional({ enum: [true] })
  @IsPresent()
  @Equals(true)
  full?: true;

  /** Not for personal data. */
  @ApiProperty(REASON)
  @IsText(1, 500)
  reason: string;
}

export class FulfillOrder {
  @ApiProperty({ type: [LineUnits], minItems: 1, maxItems: 200 })
  @IsListOf(LineUnits, 1, 200)
  lines: LineUnits[];

  @ApiPropertyOptional({ minLength: 1, maxLength: 100, example: 'DHL' })
  @IsPresent()
  @IsText(1, 100)
  carrier?: string;

  @ApiPropertyOptional({ minLength: 1, maxLength: 200, example: '00340434161094042557' })
  @IsPresent()
  @IsText(1, 200)
  trackingNumber?: string;
}
