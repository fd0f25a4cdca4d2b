import { Injectable } from '@nestjs/common';
import type { Origin } from '../database/event.js';
import { unauthenticated } from '../http/access.js';
import { SignInLimit } from '../limits/sign-in-limit.js';
import { Problem } from '../problems/problem.js';
import { type Account, Passwords } from '../users/passwords.js';
import { SecurityEvents } from './security-events.js';
import { type Credentials, Sessions } from './sessions.js';

/** A password that somebody gives for an account, known or not; `isSignedIn` when they hold a session of it already. */
export interface Proof {
  readonly account: Account | undefined;
  readonly email: string;
  readonly password: string;
  readonly address: string;
  readonly isSignedIn: boolean;
}

/** Proving who one is by a password: at sign-in, and before the password is changed. */
@Injectable()
export class SignIn {
  constructor(
    private readonly passwords: Passwords,
    private readonly limit: SignInLimit,
    private readonly sessions: Sessions,
    private readonly events: SecurityEvents,
  ) {}

  /**
   * Signs in from `address`. Throws the same `unauthenticated`, after the same work, for an unknown account, a wrong
   * password and a user who is not active; `too-many-attempts` while too many have failed.
   */
  async signIn(email: string, password: string, address: string, origin: Origin): Promise<Credentials> {
    const account = await this.passwords.accountByEmail(email);
    const proven = await this.prove({ account, email, password, address, isSignedIn: false }, origin);
    const credentials = proven && (await this.sessions.begin(proven, origin));
    if (credentials !== undefined) return credentials;
    throw unauthenticated('E-mail address or password is wrong.', 'unauthenticated', true);
  }

  /** The owner of the account has proven at this address who they are, in another way than by the password. */
  async trust(accountId: string, address: string): Promise<void> {
    await this.limit.trust({ account: accountId, address });
  }

  /** The account, if it is active and the password is its own; failures are on the record. Throws `too-many-attempts`. */
  async prove({ account, password, ...proof }: Proof, origin: Origin): Promise<Account | undefined> {
    const { address, isSignedIn } = proof;
    const subjectId = account?.id ?? null;
    // By the id where there is one: an address can be written in more ways than our lower case and the database's agree on.
    const attempt = { account: subjectId ?? proof.email.toLowerCase(), address, isSignedIn };
    const wait = await this.limit.begin(attempt);
    if (wait > 0) {
      await this.events.record(address, origin, { action: 'user.sign-in-throttled', subjectId });
      throw new Problem('too-many-attempts', 'Too many attempts have failed: wait before the next one.', {
        headers: { 'Retry-After': String(wait) },
      });
    }
    const matches = await this.passwords.matches(account, password).catch(async (error: unknown) => {
      // It was not judged, so it does not count.
      await this.limit.release(attempt);
      throw error;
    });
    if (matches && account?.status === 'active') {
      await this.limit.succeeded(attempt);
      await this.passwords.renewHash(account, password);
      return account;
    }
    await this.events.record(address, origin, { action: 'user.sign-in-failed', subjectId });
    return undefined;
  }
}
