import { type Answer, asksForPatience, itemsOf } from './answer.js';
import type { ApiClient } from './api-client.js';
import type { ImportedOrder } from './order.js';
import { LineFailure } from './values.js';

/** An order and the id of the user whose it shall be. */
export interface Placement {
  readonly order: ImportedOrder;
  readonly userId: string;
}

type Answers = Map<Placement, Answer | LineFailure>;

/** Refusals of a batch that may be due to one of its orders: a fault in one text fails all of them. */
const PERHAPS_ONE_ORDERS = new Set([400, 413, 422, 500]);

/**
 * Places orders in one request, and those of them again that ask for patience. What came of each, as if it had been
 * sent alone: where a batch is refused as a whole, its halves are sent, down to single orders. Throws `Unreachable` or
 * `Refused`.
 */
export async function placeOrders(client: ApiClient, placements: readonly Placement[]): Promise<Answers> {
  const [first, ...others] = placements;
  if (first === undefined) return new Map();
  if (others.length === 0) return new Map([[first, await placeOne(client, first)]]);
  const batch = new Batch(placements);
  const whole = await client
    .send('POST', '/v1/orders/batch', { body: () => batch.body(), isLast: (answer) => batch.take(answer) })
    .catch(lineFailure);
  if (!(whole instanceof LineFailure)) {
    if (whole.status === 207) return batch.answers;
    if (PERHAPS_ONE_ORDERS.has(whole.status)) {
      const half = Math.ceil(batch.open.length / 2);
      for (const part of [batch.open.slice(0, half), batch.open.slice(half)]) {
        for (const [placement, answer] of await placeOrders(client, part))
          batch.answers.set(placement, answer);
      }
      return batch.answers;
    }
  }
  for (const placement of batch.open) batch.answers.set(placement, whole);
  return batch.answers;
}

/** Orders under way in one request until each has an answer of its own. */
class Batch {
  readonly answers: Answers = new Map();
  open: readonly Placement[];

  constructor(placements: readonly Placement[]) {
    this.open = placements;
  }

  body(): object {
    const items = this.open.map((placement) => ({
      idempotencyKey: placement.order.idempotencyKey,
      order: bodyOf(placement),
    }));
    return { items };
  }

  /** Takes the answer to `body`; false when some orders, or all, are to be sent again. */
  take(answer: Answer): boolean {
    if (answer.status !== 207) return !asksForPatience(answer);
    const items = itemsOf(answer);
    const answered = this.open.map((placement, index) => ({ placement, item: items[index] ?? answer }));
    for (const { placement, item } of answered) this.answers.set(placement, item);
    this.open = answered.filter(({ item }) => asksForPatience(item)).map(({ placement }) => placement);
    return this.open.length === 0;
  }
}

async function placeOne(client: ApiClient, placement: Placement): Promise<Answer | LineFailure> {
  const { idempotencyKey } = placement.order;
  return client
    .send('POST', '/v1/orders', { body: () => bodyOf(placement), idempotencyKey })
    .catch(lineFailure);
}

function bodyOf({ order, userId }: Placement): object {
  return { userId, ...order.body };
}

function lineFailure(error: unknown): LineFailure {
  if (error instanceof LineFailure) return error;
  throw error;
}
