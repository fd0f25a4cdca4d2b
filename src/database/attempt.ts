import type { Origin } from './event.js';
import type { IdempotentRequest } from './idempotency.js';

/** One change that somebody asks for. */
export interface Write<I> {
  readonly input: I;
  readonly origin: Origin;
  readonly request: IdempotentRequest | undefined;
}

/** A write that is tried: `eventId` is the UUID of its event if it succeeds. */
export interface Attempt<I> extends Write<I> {
  readonly eventId: string;
}

/** Whether it came with an idempotency key. */
export function isKeyed<I>(
  attempt: Attempt<I>,
): attempt is Attempt<I> & { readonly request: IdempotentRequest } {
  return attempt.request !== undefined;
}
