import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import type { Caller } from '../http/access.js';

/**
 * How long a token that was found good is believed without asking again. What is revoked has to be dead within five
 * seconds on every replica; what remains is for requests under way.
 */
const BELIEVED_MS = 3_000;
const MOST_TOKENS = 10_000;

/** What a token proves, and until when at most. */
export interface Verified {
  readonly caller: Caller;
  readonly expiresAt: Date | null;
}

type Verify = () => Promise<Verified>;

/** Tokens that were verified a moment ago, by their hashes: a caller is looked up once in three seconds, not per request. */
@Injectable()
export class VerifiedTokens {
  private readonly cache = new LRUCache<string, Verified, Verify>({
    max: MOST_TOKENS,
    // A verification under way is shared by all who bring the same token, and outlives its eviction.
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { context: verify, options }) => {
      const asked = Date.now();
      const verified = await verify();
      const believedUntil = Math.min(asked + BELIEVED_MS, verified.expiresAt?.getTime() ?? Infinity);
      // Zero would mean for ever.
      options.ttl = Math.max(1, believedUntil - Date.now());
      return verified;
    },
  });

  /** The caller that the token belongs to, from memory or by `verify`, whose error is thrown and not remembered. */
  async caller(token: string, verify: Verify): Promise<Caller> {
    const key = hash('sha256', token, 'base64');
    const known = this.cache.get(key);
    if (known !== undefined) return known.caller;
    return (await this.cache.forceFetch(key, { context: verify })).caller;
  }

  /** Forgets every token of a user or key, so that in this process it is dead at once. */
  forget(actorId: string): void {
    for (const [key, { caller }] of this.cache.entries()) {
      if (caller.actor.id === actorId) this.cache.delete(key);
    }
  }
}
