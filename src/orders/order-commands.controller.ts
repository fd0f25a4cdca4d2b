import { applyDecorators, Body, Controller, HttpCode, Post, type Type } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Origin } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { type Access, CurrentAccess, type Permission, Requires } from '../http/access.js';
import { Id, IdParameter } from '../http/id.js';
import { OptionalKey, RequiredKey } from '../http/idempotency-key.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { IfMatch, type Precondition } from '../http/preconditions.js';
import type { Reply } from '../http/reply.js';
import type { ProblemCode } from '../problems/catalogue.js';
import { invalid } from '../problems/problem.js';
import { describeCommand, type OrderCommand, transitions } from './life-cycle.js';
import { OrderCommands } from './order-commands.js';
import {
  CancelOrder,
  FulfillOrder,
  HoldOrder,
  PayOrder,
  PlainCommand,
  RefundOrder,
} from './order-commands.dto.js';
import { orderReply } from './order-reply.js';
import { OrderResponse } from './order.response.dto.js';

interface PostingOptions {
  readonly summary: string;
  readonly description: string;
  readonly body: { readonly type: Type; readonly example: object };
  readonly problems: readonly ProblemCode[];
}

const COMMON = { answer: OrderResponse, subject: true, ifMatch: 'optional' } as const;

/** A command of the life cycle, documented from its table. */
function Move(
  command: OrderCommand,
  permission: Permission,
  body: { type: Type; example: object; optional?: true },
) {
  return applyDecorators(
    Post(`:id/${command}`),
    HttpCode(200),
    Requires(permission),
    IdParameter('orders'),
    Operation({
      ...COMMON,
      summary: transitions[command].summary,
      description: describeCommand(command),
      body,
      key: 'optional',
      problems: ['not-found', 'illegal-transition'],
    }),
  );
}

/** A command that posts something to an order; its key makes sure that it is posted once. */
function Posting(path: string, { summary, description, body, problems }: PostingOptions) {
  return applyDecorators(
    Post(`:id/${path}`),
    HttpCode(200),
    Requires('orders:edit'),
    IdParameter('orders'),
    Operation({
      ...COMMON,
      summary,
      description,
      body,
      key: 'required',
      problems: ['not-found', ...problems],
    }),
  );
}

@ApiTags('Orders')
@Controller('v1/orders')
export class OrderCommandsController {
  constructor(private readonly commands: OrderCommands) {}

  @Move('confirm', 'orders:edit', { type: PlainCommand, example: {}, optional: true })
  async confirm(
    @Id() id: string,
    @Body() _body: PlainCommand,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<OrderResponse>> {
    const command = { id, precondition, request: { access, origin }, key };
    return orderReply(await this.commands.move('confirm', command), access);
  }

  @Move('hold', 'orders:edit', { type: HoldOrder, example: { reason: 'Address is being checked' } })
  async hold(
    @Id() id: string,
    @Body() { reason }: HoldOrder,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<OrderResponse>> {
    const command = { id, precondition, request: { access, origin }, key };
    return orderReply(await this.commands.move('hold', command, reason), access);
  }

  @Move('release', 'orders:edit', { type: PlainCommand, example: {}, optional: true })
  async release(
    @Id() id: string,
    @Body() _body: PlainCommand,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<OrderResponse>> {
    const command = { id, precondition, request: { access, origin }, key };
    return orderReply(await this.commands.move('release', command), access);
  }

  @Move('complete', 'orders:edit', { type: PlainCommand, example: {}, optional: true })
  async complete(
    @Id() id: string,
    @Body() _body: PlainCommand,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<OrderResponse>> {
    const command = { id, precondition, request: { access, origin }, key };
    return orderReply(await this.commands.move('complete', command), access);
  }

  @Move('cancel', 'orders:place', { type: CancelOrder, example: {}, optional: true })
  async cancel(
    @Id() id: string,
    @Body() { refund }: CancelOrder,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<OrderResponse>> {
    const command = { id, precondition, request: { access, origin }, key };
    return orderReply(await this.commands.cancel(command, refund), access);
  }

  @Posting('payments', {
    summary: 'Record a payment',
    description: 'In every status: it says what has happened. Each reference of a provider is booked once.',
    body: {
      type: PayOrder,
      example: { amount: 4_711, provider: 'bank', providerReference: 'a-key-of-your-own' },
    },
    problems: ['already-exists', 'money-overflow'],
  })
  async pay(
    @Id() id: string,
    @Body() body: PayOrder,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @RequiredKey() key: IdempotentRequest,
  ): Promise<Reply<OrderResponse>> {
    return orderReply(
      await this.commands.pay({ id, precondition, request: { access, origin }, key }, body),
      access,
    );
  }

  @Posting('refunds', {
    summary: 'Record a refund',
    description:
      'In every status, by amount, by units of lines (their shares add up to the lines, to the cent) or in full; ' +
      'never more than was paid.',
    body: { type: RefundOrder, example: { amount: 100, reason: 'Damaged packaging' } },
    problems: ['refund-exceeds-paid', 'quantity-exceeds-line'],
  })
  async refund(
    @Id() id: string,
    @Body() body: RefundOrder,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @RequiredKey() key: IdempotentRequest,
  ): Promise<Reply<OrderResponse>> {
    const given = [body.amount, body.lines, body.full].filter((member) => member !== undefined);
    if (given.length !== 1) {
      throw invalid([{ pointer: '', code: 'one-of', detail: 'send one of amount, lines and full' }]);
    }
    return orderReply(
      await this.commands.refund({ id, precondition, request: { access, origin }, key }, body),
      access,
    );
  }

  @Posting('fulfillments', {
    summary: 'Record what is sent out',
    description: 'Of a confirmed order, in as many parts as it takes; never more than was ordered.',
    body: { type: FulfillOrder, example: { lines: [{ position: 1, quantity: 1 }], carrier: 'DHL' } },
    problems: ['illegal-transition', 'quantity-exceeds-line'],
  })
  async fulfill(
    @Id() id: string,
    @Body() body: FulfillOrder,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @RequiredKey() key: IdempotentRequest,
  ): Promise<Reply<OrderResponse>> {
    return orderReply(
      await this.commands.fulfill({ id, precondition, request: { access, origin }, key }, body),
      access,
    );
  }
}
