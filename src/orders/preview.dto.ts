import { ApiProperty } from '@nestjs/swagger';

const AMOUNT = { type: 'integer', minimum: 0 } as const;

class PreviewLineResponse {
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
}

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
