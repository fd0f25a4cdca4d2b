import { ApiExtraModels, ApiProperty, ApiPropertyOptional, getSchemaPath } from '@nestjs/swagger';
import { buildMessage, IsDefined, IsIn, IsOptional, ValidateBy } from 'class-validator';
import { parseKey } from '../http/idempotency-key.js';
import { ProblemBody } from '../http/problem.dto.js';
import { IsListOf } from '../http/validators.js';
import { OrderResponse } from './order.response.dto.js';
import { PlaceOrder } from './orders.dto.js';

const modes = ['independent', 'atomic'] as const;
const MOST_ITEMS = 100;

/** What an Idempotency-Key header would hold, bare or quoted. */
function IsIdempotencyKey(): PropertyDecorator {
  return ValidateBy({
    name: 'isIdempotencyKey',
    validator: {
      validate: (value: unknown) => typeof value === 'string' && parseKey(value) !== undefined,
      defaultMessage: buildMessage(
        (prefix) => `${prefix}$property must be 1 to 255 printable ASCII characters`,
      ),
    },
  });
}

class PlaceBatchItem {
  /** As in the header of a single placement: the two repeat each other. */
  @ApiProperty({ minLength: 1, example: 'shop-1001' })
  @IsIdempotencyKey()
  idempotencyKey: string;

  @ApiProperty({ type: PlaceOrder })
  @IsDefined()
  order: unknown;
}

/** Up to 100 orders, each with a key of its own. */
export class PlaceBatch {
  @ApiProperty({ type: [PlaceBatchItem], minItems: 1, maxItems: MOST_ITEMS })
  @IsListOf(PlaceBatchItem, 1, MOST_ITEMS)
  items: PlaceBatchItem[];
}

export class BatchQuery {
  /** `independent`: each item stands alone. `atomic`: all are placed, or none. */
  @ApiPropertyOptional({ enum: modes, default: 'independent' })
  @IsOptional()
  @IsIn(modes)
  mode: (typeof modes)[number] = 'independent';
}

@ApiExtraModels(OrderResponse, ProblemBody)
export class BatchItemResponse {
  /** 201 with the order, or the status of the problem. */
  @ApiProperty({ type: 'integer', example: 201 })
  status: number;

  /** The order's ETag. */
  @ApiPropertyOptional({ example: '"1"' })
  etag?: string;

  /** True when an earlier request or item with this key had placed the order. */
  @ApiPropertyOptional()
  replayed?: boolean;

  @ApiProperty({ oneOf: [{ $ref: getSchemaPath(OrderResponse) }, { $ref: getSchemaPath(ProblemBody) }] })
  body: OrderResponse | Record<string, unknown>;
}

/** What came of each item, in their order. */
export class BatchResponse {
  @ApiProperty({ type: [BatchItemResponse] })
  data: BatchItemResponse[];
}
