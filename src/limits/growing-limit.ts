import { Counters } from './counters.js';

/** How many attempts of a window (seconds) need not wait, and how many seconds the others wait at most. */
export interface Policy {
  readonly free: number;
  readonly window: number;
  readonly longest: number;
}

/** The seconds to wait after so many attempts: none while one more is free, then 1, 2, 4 ... up to the longest. */
export function waitAfter(attempts: number, { free, longest }: Pick<Policy, 'free' | 'longest'>): number {
  return attempts < free ? 0 : Math.min(longest, 2 ** (attempts - free));
}

/**
 * Limits attempts that each make the next one wait longer. Beyond the free ones an attempt goes on only when it gets
 * the gate, which then stays shut for the wait; one that is refused does not count.
 */
export class GrowingLimit {
  private readonly gate: string;

  constructor(
    private readonly counters: Counters,
    private readonly kind: string,
    private readonly policy: Policy,
  ) {
    this.gate = `${kind}-gate`;
  }

  /** The seconds until the next attempt, 0 when it may be made now; counts nothing. */
  async wait(who: string): Promise<number> {
    const { msLeft } = await this.counters.get(this.gate, who);
    return Math.ceil(msLeft / 1_000);
  }

  /** Counts one attempt, of however many at once; the seconds to wait when it is refused, 0 when it may go on. */
  async take(who: string): Promise<number> {
    const { hits: attempts } = await this.counters.add(this.kind, who, this.policy.window);
    const wait = waitAfter(attempts, this.policy);
    if (wait === 0) return 0;
    const gate = await this.counters.add(this.gate, who, wait);
    if (gate.hits === 1) return 0;
    await this.giveBack(who);
    return Math.max(1, Math.ceil(gate.msLeft / 1_000));
  }

  /** Takes one attempt out of the count. */
  async giveBack(who: string): Promise<void> {
    await this.counters.add(this.kind, who, this.policy.window, -1);
  }

  /** Forgets all attempts, and the wait with them. */
  async forget(who: string): Promise<void> {
    await Promise.all([this.counters.forget(this.kind, who), this.counters.forget(this.gate, who)]);
  }
}
