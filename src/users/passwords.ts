import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Statement } from '../database/statement.js';
import type { Transaction } from '../database/transaction.js';
import { PasswordHasher } from './password-hasher.js';
import type { UserStatus } from './user.entity.js';

/** A user as sign-in needs them; `hash` and `changedAt` are null for one who has no password. */
export interface Account {
  readonly id: string;
  readonly email: string;
  readonly status: UserStatus;
  readonly hash: string | null;
  readonly changedAt: Date | null;
}

const ACCOUNTS = `SELECT users.id, email, status, hash, changed_at AS "changedAt"
                    FROM users LEFT JOIN passwords ON user_id = users.id`;
const BY_EMAIL = new Statement<Account>('account by e-mail', `${ACCOUNTS} WHERE lower(email) = lower($1)`);
const BY_ID = new Statement<Account>('account by id', `${ACCOUNTS} WHERE users.id = $1`);

/** The passwords of users, of which only hashes are stored. */
@Injectable()
export class Passwords {
  constructor(
    private readonly dataSource: DataSource,
    private readonly hasher: PasswordHasher,
  ) {}

  /** The account with this e-mail address, whatever the case of its letters. */
  async accountByEmail(email: string): Promise<Account | undefined> {
    const [account] = await BY_EMAIL.run(this.dataSource, [email]);
    return account;
  }

  /** The account of the user with this id. */
  async accountById(id: string): Promise<Account | undefined> {
    const [account] = await BY_ID.run(this.dataSource, [id]);
    return account;
  }

  /** Whether this is the account's password; takes as long where there is no account or no password. */
  async matches(account: Account | undefined, password: string): Promise<boolean> {
    return this.hasher.matches(account?.hash ?? undefined, password);
  }

  /** Hashes a password that just proved right anew if its hash has become too weak; sessions go on. */
  async renewHash(account: Account, password: string): Promise<void> {
    if (account.hash === null || !this.hasher.isOutdated(account.hash)) return;
    await this.dataSource.query(`UPDATE passwords SET hash = $3 WHERE user_id = $1 AND hash = $2`, [
      account.id,
      account.hash,
      await this.hasher.hash(password),
    ]);
  }
}

/**
 * Sets a user's password and withdraws a reset token; the database ends all sessions. With `replaced` only where the
 * password still is the one that was changed then, or where there still is none (null): answers whether it was set. One
 * who is erased gets none.
 */
export async function setPassword(
  tx: Transaction,
  userId: string,
  hash: string,
  replaced?: Date | null,
): Promise<boolean> {
  // The time of change always moves on: it is what ends the sessions.
  const rows = await tx.query<unknown[]>(
    `INSERT INTO passwords (user_id, hash)
     SELECT id, $2 FROM users WHERE id = $1 AND status <> 'erased' FOR SHARE
     ON CONFLICT ON CONSTRAINT passwords_pkey DO UPDATE SET hash = excluded.hash,
       changed_at = greatest(excluded.changed_at, passwords.changed_at + interval '1 ms')
       WHERE $3 OR passwords.changed_at = $4
     RETURNING user_id`,
    [userId, hash, replaced === undefined, replaced ?? null],
  );
  await tx.query(`DELETE FROM reset_tokens WHERE user_id = $1`, [userId]);
  return rows.length > 0;
}
