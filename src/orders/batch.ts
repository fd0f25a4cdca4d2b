import { setImmediate } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { failedDependency, type Result, type Written, written } from '../database/outcomes.js';
import type { Write } from '../database/attempt.js';
import { ContractPipe } from '../http/contract.pipe.js';
import { IdempotencyKeyPipe } from '../http/idempotency-key.js';
import { Problem } from '../problems/problem.js';
import type { BatchItem } from './batch-items.pipe.js';
import type { BatchQuery } from './batch.dto.js';
import { PlaceOrder } from './orders.dto.js';
import type { Request } from './orders.service.js';
import { type Placement, preparePlacement } from './place-orders.js';
import { Placing } from './placing.js';

/** What came of an item. */
export type Placed = Written<'order.placed'> | Problem;

type KeyedWrite = Write<Placement> & { readonly request: NonNullable<Write<Placement>['request']> };
type Prepared = KeyedWrite | Problem;

/** Places many orders, each as if it had come alone. */
@Injectable()
export class OrderBatch {
  private readonly contract = new ContractPipe();

  constructor(
    private readonly placing: Placing,
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
    if (mode === 'atomic') return this.placeTogether(prepared);
    return Promise.all(prepared.map((write) => this.placeAlone(write)));
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

  private async placeAlone(write: Prepared): Promise<Placed> {
    if (write instanceof Problem) return write;
    try {
      return await this.placing.place(write);
    } catch (error) {
      return problemOf(error);
    }
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
    const results = await this.placing.placeTogether(writes);
    const byKey = new Map(writes.map(({ request }, index) => [request.key, placedOf(results[index])]));
    return checked.map((write) => {
      if (write instanceof Problem) return write;
      const result = byKey.get(write.request.key) ?? placedOf(undefined);
      const isRepetition = firsts.get(write.request.key) !== write;
      return isRepetition && !(result instanceof Problem) ? { ...result, replayed: true } : result;
    });
  }
}

function placedOf(result: Result<'order.placed'> | undefined): Placed {
  return result instanceof Problem ? result : written(result);
}

/** What concerns an item alone; throws what the whole batch suffers from: it is sent again as a whole. */
function problemOf(error: unknown): Problem {
  if (error instanceof Problem && error.code !== 'unavailable') return error;
  throw error;
}

function keyReused(): Problem {
  return new Problem('idempotency-key-reused', 'An item before this one has the same key for another order.');
}
