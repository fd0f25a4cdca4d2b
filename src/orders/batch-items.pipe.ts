import { createParamDecorator, type ExecutionContext, Injectable, type PipeTransform } from '@nestjs/common';
import type { Request } from 'express';
import { ContractPipe } from '../http/contract.pipe.js';
import { parseKey } from '../http/idempotency-key.js';
import { PlaceBatch } from './batch.dto.js';

/** One item of a batch: the order is as it was sent, and not checked yet. */
export interface BatchItem {
  readonly key: string;
  readonly order: unknown;
}

/** Checks what is around the orders of a batch, 422 for all of it when that is wrong; the orders are not looked at. */
@Injectable()
class BatchItemsPipe implements PipeTransform<unknown, Promise<BatchItem[]>> {
  private readonly contract = new ContractPipe();

  async transform(body: unknown): Promise<BatchItem[]> {
    const orders: unknown[] = [];
    const { items } = (await this.contract.transform(withoutOrders(body, orders), {
      type: 'body',
      metatype: PlaceBatch,
    })) as PlaceBatch;
    return items.map(({ idempotencyKey }, index) => ({
      key: parseKey(idempotencyKey) ?? idempotencyKey,
      order: orders[index],
    }));
  }
}

/** The body with `true` for each order, which goes into the list: copying and checking them is for later, one by one. */
function withoutOrders(body: unknown, orders: unknown[]): unknown {
  if (typeof body !== 'object' || body === null || !('items' in body) || !Array.isArray(body.items))
    return body;
  const items = body.items.map((item: unknown) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item) || !('order' in item)) return item;
    orders.push(item.order);
    return { ...item, order: true };
  });
  return { ...body, items };
}

const BodyOf = createParamDecorator(
  (_: unknown, context: ExecutionContext): unknown => context.switchToHttp().getRequest<Request>().body,
);

/** The items of the batch in the body. */
export const BatchItems = () => BodyOf(BatchItemsPipe);
