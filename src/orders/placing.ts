import { Injectable } from '@nestjs/common';
import type { Write } from '../database/attempt.js';
import type { Result, Written } from '../database/outcomes.js';
import { WritePath } from '../database/write-path.js';
import { orderCreation, type Placement, placeOrders } from './place-orders.js';

/** Lines of the orders that are placed in one transaction: they are made ready in one go, while everybody else waits. */
const MOST_LINES = 1_000;

/** Places orders: those that arrive at the same time in common transactions. */
@Injectable()
export class Placing {
  /** Places one order; throws why it is not placed, as `placeOrders` says. */
  readonly place: (write: Write<Placement>) => Promise<Written<'order.placed'>>;

  constructor(private readonly writePath: WritePath) {
    this.place = writePath.group<'order.placed', Placement>(placeOrders, orderCreation, {
      weight: MOST_LINES,
      weigh: ({ lines }) => lines.length,
    });
  }

  /** Places all or none. No two may have the same key. */
  async placeTogether(writes: readonly Write<Placement>[]): Promise<Result<'order.placed'>[]> {
    return this.writePath.writeTogether<'order.placed', Placement>(writes, placeOrders);
  }
}
