import { randomUUID } from 'node:crypto';
import { type Answer, failure, isForNobody, isTaken, problemCode } from './answer.js';
import type { ApiClient } from './api-client.js';
import { Customers } from './customers.js';
import type { ImportedOrder } from './order.js';
import { LineFailure } from './values.js';
import { type Placement, placeOrders } from './placing.js';

/** `skipped`: the user has an order with this reference, and the key that placed it is forgotten. */
export type Outcome = 'placed' | 'replayed' | 'skipped';

type Outcomes = Map<ImportedOrder, Outcome | LineFailure>;

/** Places orders for their customers, whose users it finds or creates. */
export class Importer {
  private readonly customers: Customers;
  /** A user whom there is not: orders for them are checked, but not placed. */
  private readonly nobody = randomUUID();

  constructor(private readonly client: ApiClient) {
    this.customers = new Customers(client);
  }

  get usersCreated(): number {
    return this.customers.created;
  }

  /**
   * Places the orders, one batch at most, but for those placed before, and tells what came of each. A user is created
   * only for an order that would be placed. Throws `Unreachable` or `Refused`.
   */
  async place(orders: readonly ImportedOrder[]): Promise<Outcomes> {
    const outcomes: Outcomes = new Map();
    const found = await this.withUsers(orders, outcomes, async ({ customer }) => {
      return (await this.customers.find(customer)) ?? this.nobody;
    });
    const newcomers: ImportedOrder[] = [];
    for (const [{ order, userId }, answer] of await placeOrders(this.client, found)) {
      if (userId === this.nobody && isAnswer(answer) && isForNobody(answer)) newcomers.push(order);
      else outcomes.set(order, outcomeOf(answer));
    }
    const created = await this.withUsers(newcomers, outcomes, ({ customer }) =>
      this.customers.findOrCreate(customer),
    );
    for (const [{ order }, answer] of await placeOrders(this.client, created)) {
      outcomes.set(order, outcomeOf(answer));
    }
    return outcomes;
  }

  /** The orders with the ids that `userOf` answers; those for which it fails are noted in `outcomes`. */
  private async withUsers(
    orders: readonly ImportedOrder[],
    outcomes: Outcomes,
    userOf: (order: ImportedOrder) => Promise<string>,
  ): Promise<Placement[]> {
    const placements: Placement[] = [];
    const users = await Promise.allSettled(orders.map(userOf));
    for (const [index, order] of orders.entries()) {
      const user = users[index];
      if (user?.status === 'fulfilled') placements.push({ order, userId: user.value });
      else if (user?.reason instanceof LineFailure) outcomes.set(order, user.reason);
      else throw user?.reason;
    }
    return placements;
  }
}

function isAnswer(answer: Answer | LineFailure): answer is Answer {
  return !(answer instanceof LineFailure);
}

function outcomeOf(answer: Answer | LineFailure): Outcome | LineFailure {
  if (!isAnswer(answer)) return answer;
  if (answer.status === 201) return answer.replayed ? 'replayed' : 'placed';
  if (isTaken(answer, 'reference')) return 'skipped';
  if (problemCode(answer) === 'idempotency-key-reused') {
    return new LineFailure('imported before with other content (idempotency-key-reused)');
  }
  return failure(answer);
}
