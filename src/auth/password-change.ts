import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { Origin } from '../database/event.js';
import { WritePath } from '../database/write-path.js';
import { unauthenticated } from '../http/access.js';
import { invalid } from '../problems/problem.js';
import { PasswordHasher } from '../users/password-hasher.js';
import { requireGoodPassword } from '../users/password-rules.js';
import { type Account, Passwords, setPassword } from '../users/passwords.js';
import { SignIn } from './sign-in.js';
import { VerifiedTokens } from './verified-tokens.js';

const NEW_PASSWORD = '/newPassword';

/** A token that sets a password once, within 24 hours. */
export interface ResetToken {
  readonly resetToken: string;
  readonly expiresAt: Date;
}

/** New passwords for old ones, or for a reset token that an admin has issued. Either way all sessions of the user end. */
@Injectable()
export class PasswordChange {
  constructor(
    private readonly dataSource: DataSource,
    private readonly writePath: WritePath,
    private readonly passwords: Passwords,
    private readonly hasher: PasswordHasher,
    private readonly signIn: SignIn,
    private readonly verified: VerifiedTokens,
  ) {}

  /** Changes the password of a signed-in user; `validation-failed` when the current one is wrong or the new one weak. */
  async change(
    userId: string,
    { current, wished }: { readonly current: string; readonly wished: string },
    address: string,
    origin: Origin,
  ): Promise<void> {
    const account = await this.passwords.accountById(userId);
    if (account === undefined) throw unauthenticated();
    const proof = { account, email: account.email, password: current, address, isSignedIn: true };
    if ((await this.signIn.prove(proof, origin)) === undefined) throw wrongPassword();
    // In the meantime somebody else may have set another one, such as the owner by a reset token: that one stays.
    const isSet = await this.set(account, wished, 'user.password-changed', origin);
    if (!isSet) throw wrongPassword();
  }

  /** Gives a password to a user who has none; `validation-failed` for a weak one. */
  async give(user: Pick<Account, 'id' | 'email'>, wished: string, origin: Origin): Promise<void> {
    await this.set({ ...user, changedAt: null }, wished, 'user.password-reset', origin);
  }

  /** Sets the password of the user whom the token was issued for; `unauthenticated` when it is unknown, used or too old. */
  async reset(resetToken: string, wished: string, address: string, origin: Origin): Promise<void> {
    const tokenHash = sha256(resetToken);
    const [holder] = await this.dataSource.query<{ email: string }[]>(
      `SELECT email FROM reset_tokens JOIN users ON users.id = user_id
        WHERE token_hash = $1 AND expires_at > now()`,
      [tokenHash],
    );
    if (holder === undefined) throw notResettable();
    await requireGoodPassword(wished, holder.email, NEW_PASSWORD);
    const hash = await this.hasher.hash(wished);
    const userId = await this.writePath.record(origin, async (tx) => {
      const [[spent]] = await tx.query<[{ user_id: string }[], number]>(
        // The user's row first, as whoever erases them locks it first.
        `WITH holder AS (
           SELECT users.id FROM users JOIN reset_tokens ON user_id = users.id WHERE token_hash = $1 FOR SHARE OF users
         )
         DELETE FROM reset_tokens USING holder
          WHERE user_id = holder.id AND token_hash = $1 AND expires_at > now()
          RETURNING user_id`,
        [tokenHash],
      );
      if (spent === undefined) throw notResettable();
      await setPassword(tx, spent.user_id, hash);
      return {
        occurrence: { action: 'user.password-reset', subjectId: spent.user_id },
        result: spent.user_id,
      };
    });
    this.verified.forget(userId);
    // Whoever guesses from elsewhere does not keep the owner out.
    await this.signIn.trust(userId, address);
  }

  /** Issues a token for a user, in place of an earlier one; `validation-failed` when there is no such user. */
  async issueResetToken(userId: string, origin: Origin): Promise<ResetToken> {
    const resetToken = randomBytes(32).toString('base64url');
    const expiresAt = await this.writePath.record(origin, async (tx) => {
      const [row] = await tx.query<{ user_id: string; expires_at: Date }[]>(
        `INSERT INTO reset_tokens (user_id, token_hash, expires_at)
         SELECT id, $2, now() + interval '24 hours' FROM users WHERE id = $1 AND status <> 'erased' FOR SHARE
         ON CONFLICT ON CONSTRAINT reset_tokens_pkey
           DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at
         RETURNING user_id, expires_at`,
        [userId, sha256(resetToken)],
      );
      if (row === undefined) {
        throw invalid([{ pointer: '/userId', code: 'unknown', detail: 'There is no such user.' }]);
      }
      const occurrence = { action: 'user.reset-token-issued', subjectId: row.user_id } as const;
      return { occurrence, result: row.expires_at };
    });
    return { resetToken, expiresAt };
  }

  private async set(
    { id, email, changedAt }: Pick<Account, 'id' | 'email' | 'changedAt'>,
    wished: string,
    action: 'user.password-changed' | 'user.password-reset',
    origin: Origin,
  ): Promise<boolean> {
    await requireGoodPassword(wished, email, NEW_PASSWORD);
    const hash = await this.hasher.hash(wished);
    const isSet = await this.writePath.record(origin, async (tx) => {
      const result = await setPassword(tx, id, hash, changedAt);
      return { occurrence: result ? { action, subjectId: id } : undefined, result };
    });
    this.verified.forget(id);
    return isSet;
  }
}

function wrongPassword() {
  return invalid([{ pointer: '/currentPassword', code: 'wrong-password', detail: 'the password is wrong' }]);
}

/** What is stored of a token with 256 random bits, which need no slow hash. */
function sha256(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

function notResettable() {
  return unauthenticated('The reset token is not valid (any more).', 'unauthenticated', true);
}
