import { Injectable } from '@nestjs/common';
import { VerifiedTokens } from '../auth/verified-tokens.js';
import type { Written } from '../database/outcomes.js';
import { UserChanges } from '../users/user-changes.js';

/** Erasing a person. */
@Injectable()
export class Erasure {
  constructor(
    private readonly changes: UserChanges,
    private readonly verified: VerifiedTokens,
  ) {}

  /** Erases the user as `UserChanges.erase` does; in this process their tokens are dead at once. */
  async erase(...request: Parameters<UserChanges['erase']>): Promise<Written<'user.erased'>> {
    const written = await this.changes.erase(...request);
    this.verified.forget(written.state.id);
    return written;
  }
}
