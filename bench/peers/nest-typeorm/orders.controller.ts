import {
  BadRequestException,
  Body,
  Controller,
  Get,
  Headers,
  Param,
  ParseUUIDPipe,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import type { Response } from 'express';
import { type Caller, reachesAll } from '../rules/environment.js';
import { orderResponse, orderState } from '../rules/orders.js';
import { OrderQueryDto, PlaceOrderDto } from './orders.dto.js';
import { OrdersService } from './orders.service.js';
import { CurrentUser, type SignedInRequest } from './request.js';

@Controller('v1/orders')
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @Post()
  async place(
    @Body() body: PlaceOrderDto,
    @Headers('idempotency-key') key: string | undefined,
    @Req() request: SignedInRequest,
    @Res({ passthrough: true }) response: Response,
  ) {
    if (key === undefined || key.length > 255) throw new BadRequestException();
    const { state, replayed } = await this.orders.place(body, key, request);
    if (replayed) response.set('Idempotency-Replayed', 'true');
    response.location(`/v1/orders/${state.id}`);
    return orderResponse(state, request.user.role);
  }

  @Get()
  async list(@Query() { userId, limit, cursor }: OrderQueryDto, @CurrentUser() caller: Caller) {
    const after = cursor === undefined ? undefined : Buffer.from(cursor, 'base64url').toString();
    const rows = await this.orders.list(reachesAll(caller) ? userId : caller.sub, after, limit + 1);
    const page = rows.slice(0, limit);
    const last = rows.length > limit ? page.at(-1) : undefined;
    return {
      data: page.map((row) => orderResponse(orderState(row), caller.role)),
      nextCursor: last === undefined ? null : Buffer.from(last.id).toString('base64url'),
    };
  }

  @Get(':id')
  async get(@Param('id', ParseUUIDPipe) id: string, @CurrentUser() caller: Caller) {
    return orderResponse(orderState(await this.orders.get(id, caller)), caller.role);
  }
}
