import { ApiProperty, ApiPropertyOptional, OmitType } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import { OrderResponse } from './order.response.dto.js';
import { OrderQuery } from './orders.dto.js';

const formats = ['ndjson', 'csv'] as const;

/** The filters of the list, and how the file is written. */
export class OrderExportQuery extends OmitType(OrderQuery, ['limit', 'cursor'] as const) {
  /** `ndjson`: one order a line. `csv`: one line of an order a row. */
  @ApiPropertyOptional({ enum: formats, default: 'ndjson' })
  @IsOptional()
  @IsIn(formats)
  format: (typeof formats)[number] = 'ndjson';
}

class OrderCustomer {
  @ApiProperty()
  email: string;

  @ApiProperty()
  name: string;
}

/** An order as an export tells it: what GET answers, and whose it is. */
export class ExportedOrder extends OrderResponse {
  @ApiProperty()
  customer: OrderCustomer;
}
