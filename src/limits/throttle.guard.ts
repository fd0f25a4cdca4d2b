import { type ExecutionContext, Injectable } from '@nestjs/common';
import { ThrottlerGuard, type ThrottlerStorage } from '@nestjs/throttler';
import type { Response } from 'express';
import { Problem } from '../problems/problem.js';
import { Counters } from './counters.js';
import type { Limit, Throttling } from './throttling.js';

/** Counts requests where attempts are counted too. A window that is used up stays so until it ends. */
@Injectable()
export class CounterStorage implements ThrottlerStorage {
  constructor(private readonly counters: Counters) {}

  async increment(key: string, ttl: number, limit: number, _blockDuration: number, name: string) {
    const { hits, msLeft } = await this.counters.add(name, key, ttl / 1_000);
    const timeToExpire = Math.ceil(msLeft / 1_000);
    return { totalHits: hits, timeToExpire, isBlocked: hits > limit, timeToBlockExpire: timeToExpire };
  }
}

/** Refuses callers who send too much, and tells all others how much is left (draft-ietf-httpapi-ratelimit-headers). */
@Injectable()
export class ThrottleGuard extends ThrottlerGuard {
  declare protected readonly options: Throttling;
  private readonly known = new WeakMap<object, WeakMap<object, readonly Limit[]>>();

  /** Unlike the package's, looks at a route's decorators once: that took most of the time of every request. */
  override async canActivate(context: ExecutionContext): Promise<boolean> {
    for (const limit of this.limitsOf(context)) await this.count(limit, context);
    return true;
  }

  private async count({ name, limit, ttl, keyOf }: Limit, context: ExecutionContext): Promise<void> {
    const { totalHits, timeToExpire, isBlocked } = await this.storageService.increment(
      keyOf(context),
      ttl,
      limit,
      ttl,
      name,
    );
    const response = context.switchToHttp().getResponse<Response>();
    append(response, 'RateLimit-Policy', `"${name}";q=${limit};w=${ttl / 1_000}`);
    append(response, 'RateLimit', `"${name}";r=${Math.max(0, limit - totalHits)};t=${timeToExpire}`);
    if (isBlocked) {
      throw new Problem('rate-limited', `More than ${limit} requests in a minute.`, {
        headers: { 'Retry-After': String(timeToExpire) },
      });
    }
  }

  private limitsOf(route: ExecutionContext): readonly Limit[] {
    let ofClass = this.known.get(route.getClass());
    if (ofClass === undefined) this.known.set(route.getClass(), (ofClass = new WeakMap()));
    let limits = ofClass.get(route.getHandler());
    if (limits === undefined) {
      limits = this.options.throttlers.filter((limit) => !limit.skipIf(route));
      ofClass.set(route.getHandler(), limits);
    }
    return limits;
  }
}

/** Adds an item to a list that is sent as one header. */
function append(response: Response, name: string, item: string): void {
  const before = response.getHeader(name);
  response.setHeader(name, before === undefined ? item : `${String(before)}, ${item}`);
}
