import { Injectable } from '@nestjs/common';
import { Counters } from './counters.js';
import { GrowingLimit, type Policy } from './growing-limit.js';

/** Who tries to sign in: the account's name in lower case, and `addressOf` the request. */
interface Attempt {
  readonly account: string;
  readonly address: string;
  /** They hold a session of the account, so that guesses from elsewhere are not theirs. */
  readonly isSignedIn?: boolean;
}

const MINUTE = 60;
const DAY = 86_400;

/** Room for typing errors; somebody who guesses gets about a hundred guesses a day. */
const BY_PAIR: Policy = { free: 5, window: DAY, longest: 15 * MINUTE };

/** Against guesses from many addresses. The wait stays short, as the owner at a new address has to wait with them. */
const BY_ACCOUNT: Policy = { free: 50, window: DAY, longest: MINUTE };

/** Against trying one password on many accounts. An office shares one address, so much is free. */
const BY_ADDRESS: Policy = { free: 100, window: 15 * MINUTE, longest: MINUTE };

/** For so long the account's own limit does not concern an address that it signed in from. */
const TRUSTED_SECONDS = 30 * DAY;
const TRUSTED = 'sign-in-trusted';

/**
 * Slows down who guesses passwords. An owner at an address that is trusted never waits for guesses from elsewhere; at a
 * new one they compete with them, until a reset token makes the address a trusted one.
 */
@Injectable()
export class SignInLimit {
  private readonly byPair: GrowingLimit;
  private readonly byAccount: GrowingLimit;
  private readonly byAddress: GrowingLimit;

  constructor(private readonly counters: Counters) {
    this.byPair = new GrowingLimit(counters, 'sign-in-pair', BY_PAIR);
    this.byAccount = new GrowingLimit(counters, 'sign-in-account', BY_ACCOUNT);
    this.byAddress = new GrowingLimit(counters, 'sign-in-address', BY_ADDRESS);
  }

  /** Counts an attempt before the password is looked at; answers the seconds to wait, 0 when it may go on. */
  async begin(attempt: Attempt): Promise<number> {
    const limits = await this.limitsOf(attempt);
    const wait = Math.max(...(await Promise.all(limits.map(({ limit, who }) => limit.wait(who)))));
    if (wait > 0) return wait;
    for (const [index, { limit, who }] of limits.entries()) {
      // Refused here are attempts that come at once; all others were refused above, where nothing is counted.
      const refused = await limit.take(who);
      if (refused > 0) {
        await Promise.all(limits.slice(0, index).map((taken) => taken.limit.giveBack(taken.who)));
        return refused;
      }
    }
    return 0;
  }

  /** The password was right: forgets the failures of this account from this address, and trusts the address for it. */
  async succeeded(attempt: Attempt): Promise<void> {
    const limits = await this.limitsOf(attempt);
    await Promise.all([
      ...limits.map(({ limit, who }) => (limit === this.byPair ? limit.forget(who) : limit.giveBack(who))),
      this.counters.mark(TRUSTED, pairOf(attempt), TRUSTED_SECONDS),
    ]);
  }

  /** The attempt came to nothing, neither right nor wrong: it is not counted. */
  async release(attempt: Attempt): Promise<void> {
    const limits = await this.limitsOf(attempt);
    await Promise.all(limits.map(({ limit, who }) => limit.giveBack(who)));
  }

  /** Trusts an address for an account, as if it had signed in from there: its owner has proven it in another way. */
  async trust(attempt: Attempt): Promise<void> {
    await this.byPair.forget(pairOf(attempt));
    await this.counters.mark(TRUSTED, pairOf(attempt), TRUSTED_SECONDS);
  }

  private async limitsOf(attempt: Attempt): Promise<{ limit: GrowingLimit; who: string }[]> {
    const trust = await this.counters.get(TRUSTED, pairOf(attempt));
    return [
      { limit: this.byAddress, who: attempt.address },
      { limit: this.byPair, who: pairOf(attempt) },
      ...(trust.hits > 0 || attempt.isSignedIn === true
        ? []
        : [{ limit: this.byAccount, who: attempt.account }]),
    ];
  }
}

/** An address holds no space. */
function pairOf({ account, address }: Attempt): string {
  return `${address} ${account}`;
}
