import { Injectable } from '@nestjs/common';
import type { Origin } from '../database/event.js';
import { unauthenticated } from '../http/access.js';
import { SignInLimit } from '../limits/sign-in-limit.js';
import { Problem } from '../problems/problem.js';
import { type Account, Passwords } from '../users/passwords.js';
import { SecurityEvents } from './security-events.js';
import { type Credentials, Sessions } from './sessions.js';

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
    const isProven = await this.proves(account, email, password, address, origin);
    if (isProven && account !== undefined) {
      const credentials = await this.sessions.begin(account, origin);
      if (credentials !== undefined) return credentials;
    }
    await this.events.record(address, origin, {
      action: 'user.sign-in-failed',
      subjectId: account?.id ?? null,
    });
    throw unauthenticated('E-mail address or password are wrong.', 'unauthenticated', true);
  }

  /** Whether the password is that of the active account with this e-mail address; throws `too-many-attempts`. */
  async proves(
    account: Account | undefined,
    email: string,
    password: string,
    address: string,
    origin: Origin,
  ): Promise<boolean> {
    const attempt = { account: email.toLowerCase(), address };
    const wait = await this.limit.begin(attempt);
    if (wait > 0) {
      const subjectId = account?.id ?? null;
      await this.events.record(address, origin, { action: 'user.sign-in-throttled', subjectId });
      throw new Problem('too-many-attempts', 'Too many attempts have failed: wait before the next one.', {
        headers: { 'Retry-After': String(wait) },
      });
    }
    const matches = await this.passwords.matches(account, password);
    if (!matches || account?.status !== 'active') return false;
    await this.limit.succeeded(attempt);
    await this.passwords.renewHash(account, password);
    return true;
  }
}
