import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { canonicalBytes } from '../../database/canonical.js';
import { LineFailure } from './values.js';

type Body = Readonly<Record<string, unknown>>;

/** Orders that say the same were recorded in one batch, so that an export has them close to each other. */
const MOST_REMEMBERED = 10_000;

/**
 * Names orders, so that the same order always has the same idempotency key: by their reference, or else by all that they
 * say. Of exported orders, which have ids, those that say the same without a reference are told apart, in whatever order
 * they come.
 */
export class Identities {
  /** By what they say, the ids of exported orders, numbered from 0. */
  private readonly alike = new LRUCache<string, Map<string, number>>({ max: MOST_REMEMBERED });

  /** `addReferences`: an order without a reference gets one that follows from what it says. */
  constructor(private readonly addReferences: boolean) {}

  /** The body to send and its key; `id` is the order's where it was exported. Throws `LineFailure` for what has no name. */
  of(email: string, said: Body, id: unknown): { body: Body; idempotencyKey: string } {
    if (typeof said.reference === 'string') {
      return { body: said, idempotencyKey: `import:${hashOf([email, said.reference])}` };
    }
    const content = hashOf([email, said]);
    const number = typeof id === 'string' ? this.numberOf(content, id) : 0;
    const told = number === 0 ? [said] : [said, number];
    if (!this.addReferences) return { body: said, idempotencyKey: `import:${hashOf([email, ...told])}` };
    return this.of(email, { ...said, reference: `import-${hashOf(told)}` }, id);
  }

  private numberOf(content: string, id: string): number {
    const ids = this.alike.get(content) ?? new Map<string, number>();
    const number = ids.get(id) ?? ids.size;
    this.alike.set(content, ids.set(id, number));
    return number;
  }
}

function hashOf(value: readonly unknown[]): string {
  try {
    return createHash('sha256').update(canonicalBytes(value)).digest('hex');
  } catch {
    throw new LineFailure('holds half of a surrogate pair, or is nested too deeply');
  }
}
