import type { Transaction } from '../../database/transaction.js';
import type { Finding } from './finding.js';

/** A finding, and whom it is about. */
export interface Difference extends Finding {
  readonly subject: { readonly type: string; readonly id: string | null };
  readonly version: number | null;
  /** The event that is concerned, if it is one. */
  readonly eventId: string | null;
}

/** The first and the last key of a section when its walk began: what comes later is not waited for. */
export interface Bounds {
  readonly first: string;
  readonly last: string;
}

/** Some of a section, checked; `next` is the key after which the rest starts, undefined at its end. */
export interface SectionPage {
  readonly checked: number;
  readonly differences: readonly Difference[];
  readonly next: string | undefined;
}

/** A part of the walk, in the order of a key. */
export interface Section {
  readonly name: string;
  /** The table by whose size the progress is measured. */
  readonly table: string;
  /** Undefined when there is nothing. */
  bounds(tx: Transaction): Promise<Bounds | undefined>;
  page(tx: Transaction, after: string | undefined, last: string, limit: number): Promise<SectionPage>;
  /** A key as a number that grows with it. */
  measure(key: string): number;
}

/** So many findings of one row or event are told: an order has hundreds of lines, and all can be wrong. */
const MOST_FINDINGS = 100;

/** The findings of one row or event. */
export function differencesOf(
  about: Pick<Difference, 'subject' | 'version' | 'eventId'>,
  findings: readonly Finding[],
): Difference[] {
  return findings.slice(0, MOST_FINDINGS).map((found) => ({ ...about, ...found }));
}

/** Findings about the log itself, not about one of its events. */
export function differencesOfLog(findings: readonly Finding[]): Difference[] {
  return differencesOf({ subject: { type: 'log', id: null }, version: null, eventId: null }, findings);
}
