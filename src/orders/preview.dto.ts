import { ApiProperty, OmitType } from '@nestjs/swagger';
import { OrderLineResponse } from './order.response.dto.js';

const AMOUNT = { type: 'integer', minimum: 0 } as const;

class PreviewLineResponse extends OmitType(OrderLineResponse, ['fulfilled', 'refunded'] as const) {}

/** What an order would come to; amounts are integers in minor units of its currency. */
export class PreviewResponse {
  @ApiProperty({ format: 'uuid' })
  userId: string;

  @ApiProperty({ example: 'EUR' })
  currency: string;

  @ApiProperty({ type: [PreviewLineResponse] })
  lines: PreviewLineResponse[];

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

  /**
   * Hex SHA-256 of the canonical JSON (RFC 8785) of `{currency, lines, shipping, subtotal, discount, tax, total}`, each
   * line `{quantity, unitPrice, discountPpm, taxPpm, subtotal, discount, tax, total}`.
   */
  @ApiProperty({ pattern: '^[0-9a-f]{64}$' })
  totalsHash: string;
}
