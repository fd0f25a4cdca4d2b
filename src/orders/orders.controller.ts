import { Body, Controller, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { EventResponse } from '../audit/history.dto.js';
import { History, type Moment } from '../audit/history.js';
import type { Origin } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { type Access, CurrentAccess, Requires } from '../http/access.js';
import { Cursors, type Page } from '../http/cursors.js';
import { Id, IdParameter } from '../http/id.js';
import { RequiredKey } from '../http/idempotency-key.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { PageQuery } from '../http/page.dto.js';
import { IfMatch, type Precondition } from '../http/preconditions.js';
import type { Reply } from '../http/reply.js';
import { Problem } from '../problems/problem.js';
import { commanderOf } from './locked-order.js';
import { orderReply } from './order-reply.js';
import { summarizeOrderEvent } from './order.summary.js';
import { OrderResponse, toResponse } from './order.response.dto.js';
import { OrderMoment, OrderQuery, PlaceOrder, UpdateOrder } from './orders.dto.js';
import { OrdersService } from './orders.service.js';
import { PreviewResponse } from './preview.dto.js';

export const EXAMPLE_ORDER = {
  currency: 'EUR',
  lines: [
    {
      sku: 'TEA-250',
      name: 'Green tea, 250 g',
      quantity: 3,
      unitPrice: 1_299,
      discountPpm: 50_000,
      taxPpm: 190_000,
    },
  ],
  shipping: 490,
  metadata: { channel: 'web' },
};

@ApiTags('Orders')
@Controller('v1/orders')
export class OrdersController {
  constructor(
    private readonly orders: OrdersService,
    private readonly history: History,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Requires('orders:place')
  @Operation({
    summary: 'Place an order',
    description:
      'Sent again with the same Idempotency-Key, it places nothing and answers what it answered first. ' +
      "Without `userId` the order is the caller's own.",
    answer: OrderResponse,
    creates: true,
    subject: true,
    body: { type: PlaceOrder, example: EXAMPLE_ORDER },
    key: 'required',
    problems: ['already-exists', 'totals-changed', 'money-overflow'],
  })
  async place(
    @Body() body: PlaceOrder,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @RequiredKey() key: IdempotentRequest,
  ): Promise<Reply<OrderResponse>> {
    const placed = await this.orders.place(body, { access, origin }, key);
    return orderReply(placed, access, `/v1/orders/${placed.state.id}`);
  }

  @Post('preview')
  @HttpCode(200)
  @Requires('orders:place')
  @Operation({
    summary: 'Preview an order: what it would come to',
    description:
      'Takes what placing takes and refuses what placing would refuse now, but stores nothing. Send `totalsHash` as ' +
      '`expectedTotalsHash` when you place the order, and it is placed with these totals or not at all.',
    answer: PreviewResponse,
    body: { type: PlaceOrder, example: EXAMPLE_ORDER },
    problems: ['already-exists', 'totals-changed', 'money-overflow'],
  })
  async preview(@Body() body: PlaceOrder, @CurrentAccess() access: Access): Promise<PreviewResponse> {
    return this.orders.preview(body, access);
  }

  @Get()
  @Requires('orders:read')
  @Operation({
    summary: 'List orders, those recorded last first',
    description:
      'A page can be shorter than `limit` and yet have a next one: follow `nextCursor` until it is null.',
    answer: OrderResponse,
    page: true,
    query: true,
    problems: ['invalid-cursor'],
  })
  async list(@Query() query: OrderQuery, @CurrentAccess() access: Access): Promise<Page<OrderResponse>> {
    const list = access.reach === 'own' ? `orders of ${access.actor.id}` : 'orders';
    const { data, next } = await this.orders.list(query, this.cursors.read(list, query), access);
    const by = commanderOf(access);
    return this.cursors.page(
      list,
      query,
      data.map((state) => toResponse(state, by)),
      next,
    );
  }

  @Get(':id')
  @Requires('orders:read')
  @IdParameter('orders')
  @Operation({
    summary: 'Get an order as it is, or as it was',
    answer: OrderResponse,
    subject: true,
    query: true,
    problems: ['not-found'],
  })
  async get(
    @Id() id: string,
    @Query() query: OrderMoment,
    @CurrentAccess() access: Access,
  ): Promise<Reply<OrderResponse>> {
    return orderReply({ state: await this.orders.get(id, momentOf(query), access) }, access);
  }

  @Patch(':id')
  @Requires('orders:edit')
  @IdParameter('orders')
  @Operation({
    summary: 'Change the note and metadata of an order (JSON merge patch)',
    answer: OrderResponse,
    subject: true,
    body: { type: UpdateOrder, example: { note: 'Leave at the side door' }, mergePatch: true },
    ifMatch: 'required',
    problems: ['not-found'],
  })
  async update(
    @Id() id: string,
    @Body() patch: UpdateOrder,
    @IfMatch('refused') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
  ): Promise<Reply<OrderResponse>> {
    const { state } = await this.orders.update(id, patch, precondition, { access, origin });
    return orderReply({ state }, access);
  }

  @Get(':id/events')
  @Requires('orders:read')
  @IdParameter('orders')
  @Operation({
    summary: 'What happened to an order, oldest first',
    answer: EventResponse,
    page: true,
    query: true,
    problems: ['not-found', 'invalid-cursor'],
  })
  async events(
    @Id() id: string,
    @Query() query: PageQuery,
    @CurrentAccess() access: Access,
  ): Promise<Page<EventResponse>> {
    if (access.reach === 'own') await this.orders.get(id, undefined, access);
    return this.history.page('order', id, query, summarizeOrderEvent);
  }
}

function momentOf({ version, asOf }: OrderMoment): Moment | undefined {
  if (version !== undefined && asOf !== undefined) {
    throw new Problem('invalid-parameter', 'version and asOf exclude each other', {
      errors: [{ parameter: 'asOf', code: 'exclusive', detail: 'not together with version' }],
    });
  }
  if (version !== undefined) return { version };
  return asOf === undefined ? undefined : { asOf };
}
