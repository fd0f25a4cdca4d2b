import { timeOfChange } from '../database/event.js';
import type { Transaction } from '../database/transaction.js';
import { type Access, reaches } from '../http/access.js';
import type { Precondition } from '../http/preconditions.js';
import { notFound } from '../problems/problem.js';
import type { OrderCommander } from './life-cycle.js';
import { Order, OrderLine } from './order.entity.js';
import { orderState, type OrderState } from './order.events.js';
import { findPostings, NO_POSTINGS, type Postings } from './postings.js';

type Changes = Partial<
  Pick<
    Order,
    | 'status'
    | 'heldFrom'
    | 'holdReason'
    | 'paymentStatus'
    | 'fulfillmentStatus'
    | 'paid'
    | 'refunded'
    | 'note'
    | 'metadata'
  >
>;

/** As whom the caller gives commands. */
export function commanderOf({ reach, role, scopes }: Access): OrderCommander | undefined {
  if (reach === 'own') return 'customer';
  return role !== null || scopes.includes('orders:write') ? 'staff' : undefined;
}

/** An order whose row is locked against other changes until the transaction ends. */
export class LockedOrder {
  private constructor(
    private readonly tx: Transaction,
    readonly row: Order,
    readonly postings: Postings,
  ) {}

  /** Locks the order and reads all of it; `not-found` when the caller may not see it, or what the precondition throws. */
  static async read(
    tx: Transaction,
    id: string,
    precondition: Precondition,
    access: Access,
  ): Promise<LockedOrder> {
    const row = await tx.findOne(Order, { where: { id }, lock: { mode: 'for_no_key_update' } });
    if (row === null || !reaches(access, row.userId)) throw notFound();
    precondition.require(row.version);
    const lines = await tx.findBy(OrderLine, { orderId: id });
    const postings = row.version > 1 ? (await findPostings(tx, [id])).get(id) : undefined;
    return new LockedOrder(tx, { ...row, lines }, postings ?? NO_POSTINGS);
  }

  get state(): OrderState {
    return orderState(this.row, this.postings);
  }

  /** The version and the instant (RFC 3339) that the next change makes. */
  next(): { version: number; at: string } {
    return { version: this.row.version + 1, at: timeOfChange(this.row.updatedAt).toISOString() };
  }

  /** Writes the next version, as `next` has told, and returns its state; `postings` are all of them by now. */
  async change(
    { version, at }: { version: number; at: string },
    changes: Changes,
    postings = this.postings,
  ): Promise<OrderState> {
    const change = { ...changes, version, updatedAt: new Date(at) };
    await this.tx.update(Order, { id: this.row.id }, change);
    return orderState({ ...this.row, ...change }, postings);
  }
}
