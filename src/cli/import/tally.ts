import type { Outcome } from './importer.js';
import { LineFailure } from './values.js';

/** Counts what came of the orders of a file. */
export class Tally {
  private readonly orders: Record<Outcome | 'failed', number> = {
    placed: 0,
    replayed: 0,
    skipped: 0,
    failed: 0,
  };
  private begunAnew = 0;

  get failed(): number {
    return this.orders.failed;
  }

  /** `wentOn`: more had become of the order where it was exported than that it was placed. */
  count(outcome: Outcome | LineFailure, wentOn: boolean): void {
    this.orders[outcome instanceof LineFailure ? 'failed' : outcome] += 1;
    if (outcome === 'placed' && wentOn) this.begunAnew += 1;
  }

  inWords(usersCreated: number): string {
    const counts = Object.entries(this.orders).map(([outcome, count]) => `${count} ${outcome}`);
    const summary = `Orders: ${counts.join(', ')}. Users created: ${usersCreated}.`;
    if (this.begunAnew === 0) return summary;
    return `${summary}\n${this.begunAnew} of the placed had another status or payments where they were exported: here they begin anew.`;
  }
}
