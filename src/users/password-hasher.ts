import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { hash, parseOptions, verify } from '@node-rs/argon2';
import pLimit, { type LimitFunction } from 'p-limit';
import type { ServiceConfig } from '../config/config.js';
import { Metrics } from '../metrics/metrics.js';
import { unavailable } from '../problems/problem.js';
import { normalizePassword } from './password-rules.js';

/** OWASP's least for argon2id, the package's default: 19 MiB, two passes, one lane. Raised, hashes follow at sign-in. */
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

/** Passwords that may wait for each of those under way; a hash takes some 30 ms, so the last waits three seconds. */
const QUEUE_PER_SLOT = 100;

/** Hashes and checks passwords with argon2id, on libuv's threads and a few at a time. */
@Injectable()
export class PasswordHasher {
  private readonly slots: LimitFunction;
  private readonly queueLimit: number;
  /** Compared with where there is no hash, so that an unknown account takes as long as a known one. */
  private readonly decoy = hash(randomBytes(16), PARAMETERS);

  constructor(config: ConfigService<ServiceConfig, true>, metrics: Metrics) {
    const concurrency = config.get('ARGON2_CONCURRENCY', { infer: true });
    this.slots = pLimit(concurrency);
    this.queueLimit = QUEUE_PER_SLOT * concurrency;
    metrics.watch(
      'password_hash_queue_length',
      'Passwords that wait to be hashed or checked',
      () => this.slots.pendingCount,
    );
  }

  /** The hash in PHC form. Throws `unavailable` when too many wait already. */
  async hash(password: string): Promise<string> {
    return this.inTurn(() => hash(normalizePassword(password), PARAMETERS));
  }

  /** Whether the password is the one that was hashed; without a hash false, after the same work. */
  async matches(stored: string | undefined, password: string): Promise<boolean> {
    return this.inTurn(async () => {
      const isRight = await verify(stored ?? (await this.decoy), normalizePassword(password));
      return isRight && stored !== undefined;
    });
  }

  /** Whether a hash was made with weaker parameters than today's. */
  isOutdated(stored: string): boolean {
    const { memoryCost, timeCost } = parseOptions(stored);
    return memoryCost < PARAMETERS.memoryCost || timeCost < PARAMETERS.timeCost;
  }

  private async inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.slots.pendingCount >= this.queueLimit)
      throw unavailable('Too many passwords are being checked.');
    return this.slots(work);
  }
}
