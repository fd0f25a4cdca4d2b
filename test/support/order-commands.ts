import { randomUUID } from 'node:crypto';
import fc from 'fast-check';

/** A line to be placed, in numbers small enough to be exact. */
export interface NewLine {
  readonly quantity: number;
  readonly unitPrice: number;
  readonly discountPpm: number;
  readonly taxPpm: number;
}
export interface Units {
  readonly position: number;
  readonly quantity: number;
}
export interface Move {
  readonly name: 'confirm' | 'hold' | 'release' | 'complete';
}
export interface Cancel {
  readonly name: 'cancel';
  readonly by: 'staff' | 'customer';
  readonly refund?: 'full' | 'none';
}
/** Without an amount, of what is open. */
interface Payment {
  readonly name: 'payments';
  readonly amount?: number;
}
/** Without amount and lines, in full. */
export interface Refund {
  readonly name: 'refunds';
  readonly amount?: number;
  readonly lines?: readonly Units[];
}
/** Without lines, of what is not sent out yet. */
interface Fulfillment {
  readonly name: 'fulfillments';
  readonly lines?: readonly Units[];
}
/** A command as it is drawn: what it is about in numbers follows from the order that it meets. */
export type Command = Move | Cancel | Payment | Refund | Fulfillment;

/** What a command needs to know of the order that it meets. */
export interface OrderFacts {
  readonly total: number;
  readonly paid: number;
  readonly lines: readonly { readonly quantity: number }[];
  /** Units sent out, by line. */
  readonly sent: readonly number[];
}

/** What to send for the command. */
export function bodyOf(order: OrderFacts, given: Command): object {
  switch (given.name) {
    case 'hold':
      return { reason: 'Model' };
    case 'cancel':
      return given.refund === undefined ? {} : { refund: given.refund };
    case 'payments':
      return { amount: amountOf(order, given), provider: 'model', providerReference: randomUUID() };
    case 'refunds': {
      const { amount: back, lines } = given;
      const full = back === undefined && lines === undefined ? true : undefined;
      return { amount: back, lines, full, reason: 'Model' };
    }
    case 'fulfillments':
      return { lines: unitsOf(order, given) };
    case 'confirm':
    case 'release':
    case 'complete':
      return {};
  }
}

/** What a payment comes to. */
export function amountOf(order: OrderFacts, { amount }: { readonly amount?: number }): number {
  return amount ?? Math.max(1, order.total - order.paid);
}

/** What a fulfillment sends out. */
export function unitsOf(
  order: OrderFacts,
  { lines }: { readonly lines?: readonly Units[] },
): readonly Units[] {
  if (lines !== undefined) return lines;
  const left = order.lines.map((line, index) => ({
    position: index + 1,
    quantity: line.quantity - (order.sent[index] ?? 0),
  }));
  const open = left.filter(({ quantity }) => quantity > 0);
  return open.length > 0 ? open : [{ position: 1, quantity: 1 }];
}

const rate = fc.constantFrom(0, 50_000, 190_000, 333_333, 1_000_000);
export const newLine: fc.Arbitrary<NewLine> = fc.record({
  quantity: fc.integer({ min: 1, max: 4 }),
  unitPrice: fc.integer({ min: 0, max: 20 }),
  discountPpm: rate,
  taxPpm: rate,
});
const units = fc.array(
  fc.record({ position: fc.integer({ min: 1, max: 3 }), quantity: fc.integer({ min: 1, max: 3 }) }),
  { minLength: 1, maxLength: 2 },
);
const amount = fc.integer({ min: 1, max: 60 });
const optional: { requiredKeys: ['name'] } = { requiredKeys: ['name'] };
export const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ name: fc.constant('confirm' as const) }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constantFrom('hold' as const, 'release' as const) }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('release' as const) }) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('complete' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        name: fc.constant('cancel' as const),
        by: fc.constantFrom('staff' as const, 'customer' as const),
        refund: fc.constantFrom('full' as const, 'none' as const),
      },
      { requiredKeys: ['name', 'by'] },
    ),
  },
  { weight: 3, arbitrary: fc.record({ name: fc.constant('payments' as const), amount }, optional) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('refunds' as const), amount }, optional) },
  { weight: 2, arbitrary: fc.record({ name: fc.constant('refunds' as const), lines: units }) },
  { weight: 3, arbitrary: fc.record({ name: fc.constant('fulfillments' as const), lines: units }, optional) },
);
