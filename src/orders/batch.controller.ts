import { Controller, HttpCode, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Origin } from '../database/event.js';
import { type Access, CurrentAccess, Requires } from '../http/access.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { entityTag } from '../http/preconditions.js';
import { Problem } from '../problems/problem.js';
import { currentSpan, traceIdOf } from '../tracing/tracing.js';
import { BatchItems, type BatchItem } from './batch-items.pipe.js';
import { BatchItemResponse, BatchQuery, BatchResponse, PlaceBatch } from './batch.dto.js';
import { OrderBatch, type Placed } from './batch.js';
import { orderReply } from './order-reply.js';
import { EXAMPLE_ORDER } from './orders.controller.js';
import type { Request } from './orders.service.js';

@ApiTags('Orders')
@Controller('v1/orders/batch')
export class OrderBatchController {
  constructor(private readonly batch: OrderBatch) {}

  @Post()
  @HttpCode(207)
  @Requires('orders:place')
  @Operation({
    summary: 'Place up to 100 orders',
    description:
      'Each item is answered with the status and body that placing it alone under its key would have, in the order of ' +
      'the items; pointers start at the order. So a batch may be sent again, whole or in part, and repeats single ' +
      'placements. With `mode=atomic` all are placed or none: where some fail, all others have the status 424 and the ' +
      'code `failed-dependency`. A batch is 1 MB at most; text that cannot be stored makes it fail as a whole.',
    answer: BatchResponse,
    status: 207,
    query: true,
    body: {
      type: PlaceBatch,
      example: { items: [{ idempotencyKey: 'shop-1001', order: EXAMPLE_ORDER }] },
    },
    problems: ['idempotency-in-progress'],
  })
  async place(
    @Query() { mode }: BatchQuery,
    @BatchItems() items: BatchItem[],
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
  ): Promise<BatchResponse> {
    const results = await this.batch.place(items, mode, { access, origin });
    return { data: results.map((result) => itemOf(result, { access, origin })) };
  }
}

function itemOf(result: Placed, { access, origin }: Request): BatchItemResponse {
  if (result instanceof Problem) {
    return { status: result.status, body: result.toBody(origin.requestId, traceIdOf(currentSpan())) };
  }
  const { body, about } = orderReply(result, access);
  return {
    status: 201,
    etag: entityTag(body.version, about.variant),
    ...(about.replayed && { replayed: true }),
    body,
  };
}
