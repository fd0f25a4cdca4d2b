import { Problem } from '../problems/problem.js';

/** The largest amount in minor units: what a JSON number holds exactly, 2^53 - 1. */
export const MAX_AMOUNT = Number.MAX_SAFE_INTEGER;

const MILLION = 1_000_000n;

/** What a line's amounts follow from: a count, an amount in minor units, and two rates in parts per million. */
export interface LineTerms {
  readonly quantity: number;
  readonly unitPrice: number;
  readonly discountPpm: number;
  readonly taxPpm: number;
}

/** Amounts in minor units; total = subtotal - discount + tax. */
export interface Amounts {
  readonly subtotal: number;
  readonly discount: number;
  readonly tax: number;
  readonly total: number;
}

/**
 * The amounts of one line, each component rounded half up once: discount = round(subtotal x discountPpm / 10^6),
 * tax = round((subtotal - discount) x taxPpm / 10^6). Throws `money-overflow` past `MAX_AMOUNT`.
 */
export function priceLine(terms: LineTerms): Amounts {
  const subtotal = BigInt(terms.quantity) * BigInt(terms.unitPrice);
  const discount = roundHalfUp(subtotal * BigInt(terms.discountPpm), MILLION);
  const tax = roundHalfUp((subtotal - discount) * BigInt(terms.taxPpm), MILLION);
  return toAmounts(subtotal, discount, tax, subtotal - discount + tax);
}

/** The amounts of an order: the sums of its lines, and shipping in the total. Throws `money-overflow`. */
export function sumLines(lines: readonly Amounts[], shipping: number): Amounts {
  const sum = (component: keyof Amounts) =>
    lines.reduce((total, line) => total + BigInt(line[component]), 0n);
  return toAmounts(sum('subtotal'), sum('discount'), sum('tax'), sum('total') + BigInt(shipping));
}

/**
 * What `units` of a line with `quantity` units and this total give back after `before` units were given back:
 * cum(before + units) - cum(before), cum(j) = round(total x j / quantity). All units together give back the total,
 * however they are divided.
 */
export function refundShare(total: number, quantity: number, before: number, units: number): number {
  const upTo = (count: number) => roundHalfUp(BigInt(total) * BigInt(count), BigInt(quantity));
  return Number(upTo(before + units) - upTo(before));
}

/** The sum of two amounts; throws `money-overflow` past `MAX_AMOUNT`. */
export function addAmounts(a: number, b: number): number {
  return toAmount(BigInt(a) + BigInt(b));
}

/** numerator / denominator to the nearest integer, halves up; both at least 0. */
function roundHalfUp(numerator: bigint, denominator: bigint): bigint {
  return (2n * numerator + denominator) / (2n * denominator);
}

function toAmounts(subtotal: bigint, discount: bigint, tax: bigint, total: bigint): Amounts {
  return {
    subtotal: toAmount(subtotal),
    discount: toAmount(discount),
    tax: toAmount(tax),
    total: toAmount(total),
  };
}

function toAmount(value: bigint): number {
  if (value > BigInt(MAX_AMOUNT)) {
    throw new Problem('money-overflow', `A computed amount exceeds ${MAX_AMOUNT} minor units.`);
  }
  return Number(value);
}

/** An amount for people: `inWords(44000, 'USD')` is `USD 440.00`. */
export function inWords(amount: number, currency: string): string {
  const { maximumFractionDigits: digits = 2 } = new Intl.NumberFormat('en', {
    style: 'currency',
    currency,
  }).resolvedOptions();
  const text = String(amount).padStart(digits + 1, '0');
  return digits === 0
    ? `${currency} ${text}`
    : `${currency} ${text.slice(0, -digits)}.${text.slice(-digits)}`;
}
