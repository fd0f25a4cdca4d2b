import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Compiled, readerOf } from '../src/http/compiled-contract.js';
import { ContractPipe } from '../src/http/contract.pipe.js';
import { isReserved } from '../src/http/reserved-names.js';
import { IsText } from '../src/http/validators.js';
import { PlaceOrder } from '../src/orders/orders.dto.js';
import { IsIn } from 'class-validator';

/** The same rules, which are looked up for every body. */
class PlaceOrderSlowly extends PlaceOrder {}

const bad = fc.constantFrom<unknown>(
  null,
  '',
  0,
  -1,
  1.5,
  true,
  [],
  {},
  [null],
  'x'.repeat(2_001),
  2 ** 53,
  '\u{1f600}',
);
const good = fc.record({
  userId: fc.uuid(),
  reference: fc.string({ minLength: 1, maxLength: 100 }),
  currency: fc.constantFrom('EUR', 'USD', 'JPY'),
  shipping: fc.nat(),
  placedAt: fc.constant('2026-01-31T12:00:00+01:00'),
  note: fc.option(fc.string({ maxLength: 20 })),
  // Reserved names are refused before.
  metadata: fc.dictionary(
    fc.string({ minLength: 1, maxLength: 9 }).filter((name) => !isReserved(name)),
    fc.string({ maxLength: 9 }),
  ),
  expectedTotalsHash: fc.constant('0'.repeat(64)),
});
const goodLine = fc.record({
  sku: fc.string({ minLength: 1, maxLength: 64 }),
  name: fc.string({ minLength: 1, maxLength: 200 }),
  quantity: fc.integer({ min: 1, max: 1_000_000 }),
  unitPrice: fc.nat(),
  discountPpm: fc.integer({ min: 0, max: 1_000_000 }),
  taxPpm: fc.integer({ min: 0, max: 1_000_000 }),
});

/** Some of the members left out, and now and then one that is wrong or unknown. */
function spoilt<T extends object>(members: fc.Arbitrary<T>, names: readonly string[]): fc.Arbitrary<object> {
  const fault = fc.dictionary(fc.constantFrom(...names, 'unknown', '0'), bad, { maxKeys: 2 });
  return fc
    .tuple(members, fc.subarray([...names]), fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, fault))
    .map(([all, kept, faults]) => {
      const rest = Object.entries(all).filter(([name]) => name === 'currency' || kept.includes(name));
      return { ...Object.fromEntries(rest), ...faults };
    });
}
const line = fc.oneof(
  { weight: 5, arbitrary: goodLine },
  spoilt(goodLine, ['sku', 'name', 'quantity', 'unitPrice', 'discountPpm', 'taxPpm']),
  bad,
);
const names = [
  'userId',
  'reference',
  'currency',
  'shipping',
  'placedAt',
  'note',
  'metadata',
  'expectedTotalsHash',
];
const body = fc
  .tuple(spoilt(good, names), fc.oneof({ weight: 9, arbitrary: fc.array(line, { maxLength: 4 }) }, bad))
  .map(([members, lines]) => ({ lines, ...members }));

/** What comes of a body: the members that are handed on, or the problem that the caller is told. */
async function outcome(type: new () => object, given: object): Promise<unknown> {
  try {
    const order = (await new ContractPipe().transform(given, { type: 'body', metatype: type })) as PlaceOrder;
    return { members: { ...order }, classes: order.lines.map((element) => element.constructor.name) };
  } catch (problem) {
    return { problem };
  }
}

describe('A compiled contract', () => {
  it('takes and refuses what the libraries take and refuse, in their words', async () => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(body, async (given) => {
        if (readerOf(PlaceOrder)?.(given) !== undefined) taken++;
        expect(await outcome(PlaceOrder, given)).toEqual(await outcome(PlaceOrderSlowly, given));
      }),
      { numRuns: 1_500 },
    );
    expect(taken).toBeGreaterThan(150);
    expect(taken).toBeLessThan(1_350);
  });

  it('is made for marked classes alone, and not with rules that it does not know', () => {
    class Unmarked {
      @IsText(1, 2)
      name: string;
    }
    @Compiled()
    class Strange {
      @IsIn(['a'], { each: true })
      names: string[];
    }
    expect(readerOf(Unmarked)).toBeUndefined();
    expect(() => readerOf(Strange)).toThrow('The rules of Strange.names cannot be compiled');
  });
});
