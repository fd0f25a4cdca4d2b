import { setImmediate } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { failedDependency, type Write, WritePath, type Written } from '../database/write-path.js';
import { ContractPipe } from '../http/contract.pipe.js';
import { IdempotencyKeyPipe } from '../http/idempotency-key.js';
import { Problem } from '../problems/problem.js';
import type { BatchItem } from './batch-items.pipe.js';
import type { BatchQuery } from './batch.dto.js';
import { PlaceOrder } from './orders.dto.js';
import type { Request } from './orders.service.js';
import { type Placement, placeOrders, preparePlacement } from './place-orders.js';

/** In one transaction: its orders are made ready in one go, while everybody else waits. */
const MOST_LINES = 1_000;

/** What came of an item. */
export type Placed = Written<'order.placed'> | Problem;

type KeyedWrite = Write<Placement> & { readonly request: NonNullable<Write<Placement>['request']> };
type Prepared = KeyedWrite | Problem;

/** Places many orders, each as if it had come alone. */
@Injectable()
export class OrderBatch {
  private readonly contract = new ContractPipe();

  constructor(
    private readonly writePath: WritePath,
    private readonly keys: IdempotencyKeyPipe,
  ) {}

  /** Answers what came of each item, in their order. `atomic`: when one fails, none is placed. */
  async place(items: readonly BatchItem[], mode: BatchQuery['mode'], request: Request): Promise<Placed[]> {
    const prepared: Prepared[] = [];
    for (const item of items) {
      prepared.push(await this.prepare(item, request));
      // Checking a batch takes long enough for others to be let in between.
      await setImmediate();
    }
    return mode === 'atomic' ? this.placeTogether(prepared) : this.placeEach(prepared);
  }

  private async prepare({ key, order }: BatchItem, { access, origin }: Request): Promise<Prepared> {
    try {
      const metadata = { type: 'body', metatype: PlaceOrder } as const;
      const input = preparePlacement((await this.contract.transform(order, metadata)) as PlaceOrder, access);
      const alone = { method: 'POST', url: '/v1/orders', body: order };
      return { input, origin, request: this.keys.requestOf(origin.actor, key, alone) };
    } catch (error) {
      if (error instanceof Problem) return error;
      throw error;
    }
  }

  private async placeEach(prepared: readonly Prepared[]): Promise<Placed[]> {
    const placed = new Map<Prepared, Placed>();
    for (const writes of inParts(
      prepared.filter((write): write is KeyedWrite => !(write instanceof Problem)),
    )) {
      const results = await this.writePath.writeAll<'order.placed', Placement>(writes, placeOrders);
      for (const [index, write] of writes.entries()) placed.set(write, resultOf(results[index]));
    }
    return prepared.map((write) => (write instanceof Problem ? write : resultOf(placed.get(write))));
  }

  private async placeTogether(prepared: readonly Prepared[]): Promise<Placed[]> {
    const firsts = new Map<string, KeyedWrite>();
    const checked = prepared.map((write) => {
      if (write instanceof Problem) return write;
      const first = firsts.get(write.request.key);
      if (first === undefined) firsts.set(write.request.key, write);
      else if (!first.request.fingerprint.equals(write.request.fingerprint)) return keyReused();
      return write;
    });
    if (checked.some((write) => write instanceof Problem)) {
      return checked.map((write) => (write instanceof Problem ? write : failedDependency()));
    }
    const writes = [...firsts.values()];
    const results = await this.writePath.writeTogether<'order.placed', Placement>(writes, placeOrders);
    const byKey = new Map(writes.map(({ request }, index) => [request.key, resultOf(results[index])]));
    return checked.map((write) => {
      if (write instanceof Problem) return write;
      const result = resultOf(byKey.get(write.request.key));
      const isRepetition = firsts.get(write.request.key) !== write;
      return isRepetition && !(result instanceof Problem) ? { ...result, replayed: true } : result;
    });
  }
}

/** The writes in their order, in parts of at most `MOST_LINES` lines, or of one order. */
function inParts(writes: readonly KeyedWrite[]): KeyedWrite[][] {
  const parts: KeyedWrite[][] = [];
  let lines = MOST_LINES;
  for (const write of writes) {
    lines += write.input.lines.length;
    const part = parts.at(-1);
    if (part !== undefined && lines <= MOST_LINES) {
      part.push(write);
    } else {
      parts.push([write]);
      lines = write.input.lines.length;
    }
  }
  return parts;
}

function resultOf(result: Placed | undefined): Placed {
  if (result === undefined) throw new Error('A write without a result');
  return result;
}

function keyReused(): Problem {
  return new Problem('idempotency-key-reused', 'An item before this one has the same key for another order.');
}
