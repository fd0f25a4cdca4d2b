import { createHash } from 'node:crypto';
import { canonicalBytes } from '../database/canonical.js';
import type { Amounts, LineTerms } from './money.js';

/** A priced order: all that its totals follow from, and the amounts that they are made of. */
interface Priced {
  readonly order: { readonly currency: string; readonly shipping: number };
  readonly lines: readonly (LineTerms & Amounts)[];
  readonly amounts: Amounts;
}

/**
 * Names what an order comes to, and how: hex SHA-256 of the RFC 8785 form of `{currency, lines, shipping, subtotal,
 * discount, tax, total}`, each line with quantity, price, rates and amounts.
 */
export function totalsHash({ order, lines, amounts }: Priced): string {
  const totals = {
    currency: order.currency,
    lines: lines.map((line) => ({
      quantity: line.quantity,
      unitPrice: line.unitPrice,
      discountPpm: line.discountPpm,
      taxPpm: line.taxPpm,
      ...amountsOf(line),
    })),
    shipping: order.shipping,
    ...amountsOf(amounts),
  };
  return createHash('sha256').update(canonicalBytes(totals)).digest('hex');
}

function amountsOf({ subtotal, discount, tax, total }: Amounts): Amounts {
  return { subtotal, discount, tax, total };
}
