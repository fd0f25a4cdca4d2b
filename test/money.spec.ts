import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  addAmounts,
  inWords,
  type LineTerms,
  MAX_AMOUNT,
  priceLine,
  refundShare,
  sumLines,
} from '../src/orders/money.js';
import { Problem } from '../src/problems/problem.js';

const rate = fc.integer({ min: 0, max: 1_000_000 });
const terms: fc.Arbitrary<LineTerms> = fc.record({
  quantity: fc.integer({ min: 1, max: 1_000_000 }),
  unitPrice: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.maxSafeNat()),
  discountPpm: rate,
  taxPpm: rate,
});

/** What the amounts are in exact fractions: [numerator, denominator] of discount and tax before rounding. */
function nearest(numerator: bigint, denominator: bigint): bigint {
  const floor = numerator / denominator;
  return 2n * (numerator - floor * denominator) >= denominator ? floor + 1n : floor;
}

describe('the amounts of a line', () => {
  it('round half up, once per component', () => {
    const line = { quantity: 1, unitPrice: 5, discountPpm: 100_000, taxPpm: 0 };
    expect(priceLine(line)).toEqual({ subtotal: 5, discount: 1, tax: 0, total: 4 });
    expect(priceLine({ ...line, discountPpm: 99_999 })).toEqual({
      subtotal: 5,
      discount: 0,
      tax: 0,
      total: 5,
    });
    expect(priceLine({ quantity: 3, unitPrice: 1_299, discountPpm: 50_000, taxPpm: 190_000 })).toEqual({
      subtotal: 3_897,
      discount: 195,
      tax: 703,
      total: 4_405,
    });
  });

  it('equal a reference in exact integers, or are refused as too large', () => {
    fc.assert(
      fc.property(terms, (line) => {
        const subtotal = BigInt(line.quantity) * BigInt(line.unitPrice);
        const discount = nearest(subtotal * BigInt(line.discountPpm), 1_000_000n);
        const tax = nearest((subtotal - discount) * BigInt(line.taxPpm), 1_000_000n);
        const total = subtotal - discount + tax;
        const expected = [subtotal, discount, tax, total];
        if (expected.some((amount) => amount > BigInt(MAX_AMOUNT))) {
          expect(() => priceLine(line)).toThrow(Problem);
        } else {
          const amounts = priceLine(line);
          expect([amounts.subtotal, amounts.discount, amounts.tax, amounts.total].map(BigInt)).toEqual(
            expected,
          );
        }
      }),
    );
  });
});

describe('the amounts of an order', () => {
  const small = fc.record({
    quantity: fc.integer({ min: 1, max: 1_000 }),
    unitPrice: fc.integer({ min: 0, max: 1_000_000 }),
    discountPpm: rate,
    taxPpm: rate,
  });

  it('are the sums of its lines, with shipping in the total', () => {
    fc.assert(
      fc.property(fc.array(small, { minLength: 1, maxLength: 20 }), fc.nat(), (lines, shipping) => {
        const amounts = lines.map(priceLine);
        const order = sumLines(amounts, shipping);
        expect(order.total).toBe(order.subtotal - order.discount + order.tax + shipping);
        expect(order.total).toBe(amounts.reduce((sum, line) => sum + line.total, shipping));
      }),
    );
  });

  it('reach 2^53 - 1, and not one more', () => {
    const line = priceLine({ quantity: 1, unitPrice: MAX_AMOUNT, discountPpm: 0, taxPpm: 0 });
    expect(sumLines([line], 0).total).toBe(9_007_199_254_740_991);
    expect(() => sumLines([line], 1)).toThrow(expect.objectContaining({ code: 'money-overflow' }));
  });
});

describe('the share of refunded units', () => {
  const total = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.maxSafeNat());
  /** A line, and its units divided into refunds in some way. */
  const divided = fc
    .record({ total, parts: fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 50 }) })
    .map(({ parts, ...line }) => ({
      ...line,
      parts,
      quantity: parts.reduce((sum, units) => sum + units, 0),
    }));

  it('rounds what was refunded so far, not each unit', () => {
    expect([0, 1, 2].map((before) => refundShare(100, 3, before, 1))).toEqual([33, 34, 33]);
    expect([0, 1, 2].map((before) => refundShare(1, 3, before, 1))).toEqual([0, 1, 0]);
    expect(refundShare(MAX_AMOUNT, 1_000_000, 0, 1_000_000)).toBe(MAX_AMOUNT);
  });

  it('is never negative, and all of them add up to the line, however it is divided', () => {
    fc.assert(
      fc.property(divided, (line) => {
        let before = 0;
        let sum = 0;
        for (const units of line.parts) {
          const share = refundShare(line.total, line.quantity, before, units);
          expect(share).toBeGreaterThanOrEqual(0);
          before += units;
          sum += share;
          // So far refunded is the exact share, rounded once.
          const exact = nearest(BigInt(line.total) * BigInt(before), BigInt(line.quantity));
          expect(BigInt(sum)).toBe(exact);
        }
        expect(sum).toBe(line.total);
      }),
    );
  });
});

it('two amounts add up to 2^53 - 1 at most', () => {
  expect(addAmounts(MAX_AMOUNT - 1, 1)).toBe(MAX_AMOUNT);
  expect(() => addAmounts(MAX_AMOUNT, 1)).toThrow(expect.objectContaining({ code: 'money-overflow' }));
});

it.each([
  [44_000, 'USD', 'USD 440.00'],
  [5, 'EUR', 'EUR 0.05'],
  [1_200, 'JPY', 'JPY 1200'],
  [1_234_567, 'KWD', 'KWD 1234.567'],
  [MAX_AMOUNT, 'EUR', 'EUR 90071992547409.91'],
])('%d in %s reads %s', (amount, currency, text) => {
  expect(inWords(amount, currency)).toBe(text);
});
