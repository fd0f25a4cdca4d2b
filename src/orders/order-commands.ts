import { Injectable } from '@nestjs/common';
import type { Change } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { brokenConstraint } from '../database/sqlstate.js';
import type { Transaction } from '../database/transaction.js';
import type { Written } from '../database/outcomes.js';
import { WritePath } from '../database/write-path.js';
import type { Precondition } from '../http/preconditions.js';
import { type Fault, invalid, Problem } from '../problems/problem.js';
import { availableActions, type OrderCommand, statusAfter } from './life-cycle.js';
import { commanderOf, LockedOrder } from './locked-order.js';
import { addAmounts, refundShare } from './money.js';
import type { OrderLineState, OrderState } from './order.events.js';
import type { FulfillOrder, PayOrder, RefundOrder } from './order-commands.dto.js';
import type { Request } from './orders.service.js';
import {
  type Fulfillment,
  insertFulfillment,
  insertPayment,
  insertRefund,
  type Payment,
  type Refund,
  type Units,
} from './postings.js';
import { fulfillmentStatusOf, paymentStatusOf } from './status.js';

const ACTIONS = {
  confirm: 'order.confirmed',
  hold: 'order.held',
  release: 'order.released',
  cancel: 'order.cancelled',
  complete: 'order.completed',
} as const satisfies Record<OrderCommand, string>;

type MoveAction = (typeof ACTIONS)[OrderCommand];

/** A command to an order: which one, on which version, from whom, and under which key. */
export interface Command {
  readonly id: string;
  readonly precondition: Precondition;
  readonly request: Request;
  readonly key: IdempotentRequest | undefined;
}

/** What happens to an order after it was placed: moves of its status, payments, refunds and fulfillments. */
@Injectable()
export class OrderCommands {
  constructor(private readonly writePath: WritePath) {}

  /** Moves the status; `illegal-transition` when the order does not take the command now. `reason` is that of a hold. */
  async move(
    command: Exclude<OrderCommand, 'cancel'>,
    to: Command,
    reason?: string,
  ): Promise<Written<MoveAction>> {
    return this.run<MoveAction>(to, async (order) => {
      const status = statusAfter(order.row, command, commanderOf(to.request.access));
      const heldFrom = status === 'on_hold' ? order.row.status : null;
      const holdReason = status === 'on_hold' ? (reason ?? null) : null;
      const state = await order.change(order.next(), { status, heldFrom, holdReason });
      return { action: ACTIONS[command], state };
    });
  }

  /** Cancels; where money is held, `refund` says whether it goes back: `validation-failed` without it. */
  async cancel(to: Command, refund: 'full' | 'none' | undefined): Promise<Written<'order.cancelled'>> {
    return this.run<'order.cancelled'>(to, async (order, tx) => {
      const status = statusAfter(order.row, 'cancel', commanderOf(to.request.access));
      const held = order.row.paid - order.row.refunded;
      if (held > 0 && refund === undefined) {
        const detail = 'money is held: say "full" to give it back or "none" to keep it';
        throw invalid([{ pointer: '/refund', code: 'required', detail }]);
      }
      const next = order.next();
      const over = { status, heldFrom: null, holdReason: null };
      if (held === 0 || refund !== 'full')
        return { action: 'order.cancelled', state: await order.change(next, over) };
      const posted: Refund = { ...next, amount: held, reason: 'Order cancelled', lines: [] };
      const state = await order.change(
        next,
        { ...over, ...moneyAfter(order, 0, held) },
        { ...order.postings, refunds: [...order.postings.refunds, posted] },
      );
      await insertRefund(tx, to.id, posted);
      return { action: 'order.cancelled', state };
    });
  }

  /** Records a payment, whatever the status; `already-exists` when the provider's reference is known. */
  async pay(
    to: Command,
    { amount, provider, providerReference, method }: PayOrder,
  ): Promise<Written<'order.paid'>> {
    return this.run<'order.paid'>(to, async (order, tx) => {
      const next = order.next();
      const payment: Payment = { ...next, amount, provider, providerReference, method: method ?? null };
      const state = await order.change(next, moneyAfter(order, amount, 0), {
        ...order.postings,
        payments: [...order.postings.payments, payment],
      });
      await insertPayment(tx, to.id, payment);
      return { action: 'order.paid', state };
    }).catch((error: unknown) => {
      if (brokenConstraint(error) !== 'order_ledger_provider_reference_key') throw error;
      throw new Problem('already-exists', 'This payment of the provider is on the books already.', {
        members: { field: 'providerReference' },
      });
    });
  }

  /** Records a refund, whatever the status; `refund-exceeds-paid` past what is left, `quantity-exceeds-line` per line. */
  async refund(to: Command, wanted: RefundOrder): Promise<Written<'order.refunded'>> {
    return this.run<'order.refunded'>(to, async (order, tx) => {
      const refundable = order.row.paid - order.row.refunded;
      const lines = unitsToRefund(order.state, wanted.lines ?? []);
      const byLines = lines.reduce((sum, line) => addAmounts(sum, line.amount), 0);
      const amount = wanted.amount ?? (wanted.full === true ? refundable : byLines);
      if (amount > refundable || (amount === 0 && wanted.full === true)) {
        throw new Problem('refund-exceeds-paid', `At most ${refundable} can be refunded.`, {
          members: { refundable },
        });
      }
      const next = order.next();
      const refund: Refund = { ...next, amount, reason: wanted.reason, lines };
      const state = await order.change(next, moneyAfter(order, 0, amount), {
        ...order.postings,
        refunds: [...order.postings.refunds, refund],
      });
      await insertRefund(tx, to.id, refund);
      return { action: 'order.refunded', state };
    });
  }

  /** Records what is sent out of a confirmed order; `quantity-exceeds-line` for more than was ordered. */
  async fulfill(
    to: Command,
    { lines, carrier, trackingNumber }: FulfillOrder,
  ): Promise<Written<'order.fulfilled'>> {
    return this.run<'order.fulfilled'>(to, async (order, tx) => {
      const { status } = order.row;
      if (status !== 'confirmed') {
        throw new Problem('illegal-transition', `An order that is ${status} is not sent out.`, {
          members: { from: status, allowed: availableActions(order.row, commanderOf(to.request.access)) },
        });
      }
      linesOf(order.state, lines, 'fulfilled');
      const next = order.next();
      const sent: Fulfillment = {
        ...next,
        lines: [...lines].map(({ position, quantity }) => ({ position, quantity })).sort(byPosition),
        carrier: carrier ?? null,
        trackingNumber: trackingNumber ?? null,
      };
      const fulfilled = order.state.lines.map((line) => ({
        quantity: line.quantity,
        fulfilled: line.fulfilled + (lines.find(({ position }) => position === line.position)?.quantity ?? 0),
      }));
      const state = await order.change(
        next,
        { fulfillmentStatus: fulfillmentStatusOf(fulfilled) },
        { ...order.postings, fulfillments: [...order.postings.fulfillments, sent] },
      );
      await insertFulfillment(tx, to.id, sent);
      return { action: 'order.fulfilled', state };
    });
  }

  private async run<A extends MoveAction | 'order.paid' | 'order.refunded' | 'order.fulfilled'>(
    { id, precondition, request: { access, origin }, key }: Command,
    work: (order: LockedOrder, tx: Transaction) => Promise<Change<A>>,
  ): Promise<Written<A>> {
    return this.writePath.write<A>(origin, key, async (tx) =>
      work(await LockedOrder.read(tx, id, precondition, access), tx),
    );
  }
}

/** The columns that follow from money that comes in or goes back. */
function moneyAfter({ row }: LockedOrder, paidNow: number, refundedNow: number) {
  const paid = addAmounts(row.paid, paidNow);
  const refunded = addAmounts(row.refunded, refundedNow);
  return { paid, refunded, paymentStatus: paymentStatusOf(row.total, paid, refunded) };
}

function unitsToRefund(order: OrderState, wanted: readonly Units[]) {
  return linesOf(order, wanted, 'refunded').map(({ line, quantity }) => ({
    position: line.position,
    quantity,
    amount: refundShare(line.total, line.quantity, line.refunded, quantity),
  }));
}

/** The lines that are meant, by position; throws for one that there is not, or that has fewer units left. */
function linesOf(order: OrderState, wanted: readonly Units[], already: 'fulfilled' | 'refunded') {
  const faults: Fault[] = [];
  const found: { line: OrderLineState; quantity: number }[] = [];
  for (const [index, { position, quantity }] of wanted.entries()) {
    const line = order.lines.find((each) => each.position === position);
    if (line === undefined) {
      faults.push({
        pointer: `/lines/${index}/position`,
        code: 'unknown',
        detail: `there is no line ${position}`,
      });
    } else if (found.some((each) => each.line === line)) {
      faults.push({
        pointer: `/lines/${index}/position`,
        code: 'repeated',
        detail: `line ${position} is given twice`,
      });
    } else {
      found.push({ line, quantity });
    }
  }
  if (faults.length > 0) throw invalid(faults);
  for (const { line, quantity } of found) {
    const remaining = line.quantity - line[already];
    if (quantity > remaining) {
      throw new Problem('quantity-exceeds-line', `Line ${line.position} has ${remaining} left.`, {
        members: { position: line.position, remaining },
      });
    }
  }
  return found.sort((a, b) => byPosition(a.line, b.line));
}

function byPosition(a: { readonly position: number }, b: { readonly position: number }): number {
  return a.position - b.position;
}
