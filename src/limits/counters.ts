import type { KeyObject } from 'node:crypto';
import { Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { Counter, Gauge } from 'prom-client';
import type { RateLimiterAbstract } from 'rate-limiter-flexible';
import type { ServiceConfig } from '../config/config.js';
import { authenticate, deriveKey } from '../http/keys.js';
import { Metrics } from '../metrics/metrics.js';
import { MemoryLimiter } from './memory-limiter.js';
import { RedisStore } from './redis-store.js';

/** How often something was counted, and the milliseconds until that is forgotten. */
export interface Count {
  readonly hits: number;
  readonly msLeft: number;
}

const NOTHING: Count = { hits: 0, msLeft: 0 };

/**
 * Counts that end with their window: in Redis, shared by all replicas, when `REDIS_URL` is set, and in the memory of
 * this process otherwise and while Redis is away. `kind` names what is counted, `who` may be personal: Redis only gets
 * its HMAC.
 */
@Injectable()
export class Counters implements OnModuleInit, OnApplicationShutdown {
  private readonly key: KeyObject;
  private readonly redis: RedisStore | undefined;
  private readonly memory = new Map<string, MemoryLimiter>();
  private fallbacks: Counter | undefined;

  constructor(
    private readonly config: ConfigService<ServiceConfig, true>,
    private readonly logger: PinoLogger,
    metrics: Metrics,
  ) {
    this.key = deriveKey(config.get('ORDO_SECRET', { infer: true }), 'limits');
    const url = config.get('REDIS_URL', { infer: true });
    if (url !== undefined) this.redis = this.shared(url, metrics);
  }

  /** Waits for the first answer of Redis, but not for one that does not come. */
  async onModuleInit(): Promise<void> {
    await this.redis?.connect();
    const mayBeSeveral =
      this.config.get('NODE_ENV', { infer: true }) === 'production' ||
      this.config.get('WORKERS', { infer: true }) > 1;
    if (this.redis === undefined && mayBeSeveral) {
      this.logger.warn('Rate limits are counted per process: set REDIS_URL where there are several');
    }
  }

  onApplicationShutdown(): void {
    this.redis?.close();
  }

  /** Adds to a count (`hits` below 0 take away), which ends `seconds` (at least 1) after it began; atomic. */
  async add(kind: string, who: string, seconds: number, hits = 1): Promise<Count> {
    const result = await this.run(kind, who, (limiter, key) =>
      limiter.penalty(key, hits, { customDuration: seconds }),
    );
    return { hits: result.consumedPoints, msLeft: result.msBeforeNext };
  }

  async get(kind: string, who: string): Promise<Count> {
    const result = await this.run(kind, who, (limiter, key) => limiter.get(key));
    // In memory a count can be found for a moment after its end.
    if (result === null || result.msBeforeNext <= 0) return NOTHING;
    return { hits: result.consumedPoints, msLeft: result.msBeforeNext };
  }

  /** Sets a count to 1, and its end to `seconds` from now; also in memory, to be known while Redis is away. */
  async mark(kind: string, who: string, seconds: number): Promise<void> {
    await this.redis?.use((limiter) => limiter.set(this.pseudonym(kind, who), 1, seconds));
    await this.memoryOf(kind).set(who, 1, seconds);
  }

  async forget(kind: string, who: string): Promise<void> {
    await this.run(kind, who, (limiter, key) => limiter.delete(key));
  }

  private async run<T>(
    kind: string,
    who: string,
    work: (limiter: RateLimiterAbstract, key: string) => Promise<T>,
  ): Promise<T> {
    if (this.redis !== undefined) {
      const done = await this.redis.use((limiter) => work(limiter, this.pseudonym(kind, who)));
      if (done !== undefined) return done;
      this.fallbacks?.inc();
    }
    return work(this.memoryOf(kind), who);
  }

  private pseudonym(kind: string, who: string): string {
    return `${kind}:${authenticate(this.key, [kind, who]).toString('base64url', 0, 16)}`;
  }

  private memoryOf(kind: string): MemoryLimiter {
    let limiter = this.memory.get(kind);
    if (limiter === undefined) this.memory.set(kind, (limiter = new MemoryLimiter()));
    return limiter;
  }

  private shared(url: string, { registry }: Metrics): RedisStore {
    const up = new Gauge({
      name: 'rate_limit_store_up',
      help: 'Whether the Redis that REDIS_URL names counts for this process',
      aggregator: 'min',
      registers: [registry],
    });
    this.fallbacks = new Counter({
      name: 'rate_limit_store_fallbacks_total',
      help: 'Counts that were taken in the memory of this process, as Redis was away',
      registers: [registry],
    });
    let isAway = false;
    return new RedisStore(url, {
      isUp: () => {
        up.set(1);
        if (isAway) this.logger.info('Redis is back: rate limits are shared again');
        isAway = false;
      },
      isAway: (reason) => {
        up.set(0);
        if (!isAway) this.logger.warn({ reason }, 'Redis is away: rate limits are counted per process');
        isAway = true;
      },
    });
  }
}
