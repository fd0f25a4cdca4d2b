import { type Finding, finding } from '../audit/integrity/finding.js';
import type { Fold } from '../audit/integrity/subject-check.js';
import type { ActionOf } from '../database/event.js';
import { availableActions, type OrderCommand, statusAfter } from './life-cycle.js';
import type { OrderState } from './order.events.js';
import { NO_POSTINGS } from './postings.js';
import { refold } from './refold.js';

type Members = Partial<OrderState>;
/** The members that an action gives an order, and why the order did not take it. */
type Step = (before: OrderState, after: OrderState) => readonly [Members, ...Finding[]];

/** What each action makes of an order. */
export const orderFolds: { readonly [A in ActionOf<'order'>]: Fold<OrderState> } = {
  'order.placed': { begin: (after) => refold({ ...after, ...NO_POSTINGS, status: 'placed', hold: null }) },
  'order.updated': fold((_before, { note, metadata }) => [{ note, metadata }]),
  'order.confirmed': fold((before, after) => move('confirm', before, after)),
  'order.held': fold((before, after) => {
    const [members, ...findings] = move('hold', before, after);
    return [{ ...members, hold: { from: before.status, reason: after.hold?.reason ?? '' } }, ...findings];
  }),
  'order.released': fold((before, after) => move('release', before, after)),
  'order.completed': fold((before, after) => move('complete', before, after)),
  'order.cancelled': fold((before, after) => {
    const [members, ...findings] = move('cancel', before, after);
    const refund = after.refunds[before.refunds.length];
    if (refund === undefined) return [members, ...findings];
    const all = { ...refund, ...stamps(before, after), amount: before.paid - before.refunded, lines: [] };
    return [{ ...members, refunds: [...before.refunds, all] }, ...findings];
  }),
  'order.paid': fold((before, after) => post('payments', before, after)),
  'order.refunded': fold((before, after) => post('refunds', before, after)),
  'order.fulfilled': fold((before, after) => {
    const [members, ...findings] = post('fulfillments', before, after);
    if (before.status === 'confirmed') return [members, ...findings];
    const illegal = { expected: 'confirmed', actual: before.status };
    return [members, ...findings, finding('illegal-transition', '/status', illegal)];
  }),
};

function fold(step: Step): Fold<OrderState> {
  return {
    advance: (before, after) => {
      const [members, ...findings] = step(before, after);
      const { state, findings: others = [] } = refold({ ...before, ...members });
      return { state, findings: [...findings, ...others] };
    },
  };
}

/** The status after a command that moves it. */
function move(command: OrderCommand, before: OrderState, after: OrderState): ReturnType<Step> {
  const facts = { ...before, heldFrom: before.hold?.from ?? null };
  if (availableActions(facts, 'staff').includes(command)) {
    return [{ status: statusAfter(facts, command, 'staff'), hold: null }];
  }
  const illegal = finding('illegal-transition', '/status', { expected: before.status, actual: after.status });
  return [{ status: after.status, hold: null }, illegal];
}

/** One more of what the action posts. */
function post(
  list: 'payments' | 'refunds' | 'fulfillments',
  before: OrderState,
  after: OrderState,
): ReturnType<Step> {
  const posted = after[list][before[list].length];
  if (posted === undefined) return [{}, finding('posting-missing', `/${list}`)];
  return [{ [list]: [...before[list], { ...posted, ...stamps(before, after) }] }];
}

function stamps(before: OrderState, after: OrderState) {
  return { version: before.version + 1, at: after.updatedAt };
}
