import { type Finding, finding } from '../audit/integrity/finding.js';
import type { Reading } from '../audit/integrity/subject-check.js';
import { addAmounts, priceLine, refundShare, sumLines } from './money.js';
import type { OrderState } from './order.events.js';
import type { Refund, Units } from './postings.js';
import { fulfillmentStatusOf, paymentStatusOf } from './status.js';

type Posting = { readonly lines: readonly Units[] };

/**
 * The order that its terms and postings come to, all amounts, units and statuses computed anew, and where it comes to
 * more than there is. Throws `money-overflow`, and whatever comes of a state that is none.
 */
export function refold(order: OrderState): Reading<OrderState> {
  const lines = order.lines.map((line, index) => ({
    ...line,
    ...priceLine(line),
    position: index + 1,
    fulfilled: unitsOf(line.position, order.fulfillments),
    refunded: unitsOf(line.position, order.refunds),
  }));
  const amounts = sumLines(lines, order.shipping);
  const refunds = shareRefunds(lines, order.refunds);
  const paid = sum(order.payments);
  const refunded = sum(refunds);
  const state = {
    ...order,
    ...amounts,
    lines,
    refunds,
    paid,
    refunded,
    paymentStatus: paymentStatusOf(amounts.total, paid, refunded),
    fulfillmentStatus: fulfillmentStatusOf(lines),
  };
  return { state, findings: [...excesses(state), ...gaps(state)] };
}

/** Each refund of units by what the units before it have left to give, to the cent. */
function shareRefunds(lines: OrderState['lines'], refunds: readonly Refund[]): Refund[] {
  const before = new Map<number, number>();
  return refunds.map((refund) => {
    if (refund.lines.length === 0) return refund;
    const units = refund.lines.map(({ position, quantity }) => {
      const already = before.get(position) ?? 0;
      before.set(position, already + quantity);
      const line = lines.find((each) => each.position === position);
      const amount = line === undefined ? 0 : refundShare(line.total, line.quantity, already, quantity);
      return { position, quantity, amount };
    });
    return { ...refund, lines: units, amount: sum(units) };
  });
}

function excesses({ lines, paid, refunded }: OrderState): Finding[] {
  const findings = lines.flatMap((line, index) =>
    (['fulfilled', 'refunded'] as const).flatMap((member) => {
      const excess = { expected: line.quantity, actual: line[member] };
      return line[member] > line.quantity
        ? [finding('limit-exceeded', `/lines/${index}/${member}`, excess)]
        : [];
    }),
  );
  if (refunded <= paid) return findings;
  return [...findings, finding('limit-exceeded', '/refunded', { expected: paid, actual: refunded })];
}

/** Units of lines that there are not, shipments of nothing, and an order of nothing. */
function gaps({ lines, refunds, fulfillments }: OrderState): Finding[] {
  const positions = new Set(lines.map(({ position }) => position));
  const strays = (name: string, postings: readonly Posting[]) =>
    postings.flatMap((posting, index) =>
      posting.lines.every(({ position }) => positions.has(position))
        ? []
        : [finding('line-missing', `/${name}/${index}/lines`)],
    );
  const empty = fulfillments.flatMap((sent, index) =>
    sent.lines.length === 0 ? [finding('line-missing', `/fulfillments/${index}/lines`)] : [],
  );
  return [
    ...(lines.length === 0 ? [finding('line-missing', '/lines')] : []),
    ...strays('refunds', refunds),
    ...strays('fulfillments', fulfillments),
    ...empty,
  ];
}

function unitsOf(wanted: number, postings: readonly Posting[]): number {
  let units = 0;
  for (const { lines } of postings) {
    for (const { position, quantity } of lines) if (position === wanted) units += quantity;
  }
  return units;
}

function sum(postings: readonly { readonly amount: number }[]): number {
  return postings.reduce((total, { amount }) => addAmounts(total, amount), 0);
}
