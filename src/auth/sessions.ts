import type { KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../config/config.js';
import type { Origin } from '../database/event.js';
import { KeysetQuery, type SearchableList, type Slice } from '../database/keyset.js';
import { newId } from '../database/new-id.js';
import { Statement } from '../database/statement.js';
import { WritePath } from '../database/write-path.js';
import { type Role, unauthenticated } from '../http/access.js';
import { deriveKey } from '../http/keys.js';
import type { Account } from '../users/passwords.js';
import { AccessTokens, type Claims } from './access-tokens.js';
import { RefreshToken } from './refresh-token.js';
import { VerifiedTokens } from './verified-tokens.js';

/** What a client gets to act for a user. */
export interface Credentials {
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** A session as its user sees it. */
export interface Session {
  readonly id: string;
  readonly createdAt: Date;
  readonly refreshedAt: Date;
  readonly expiresAt: Date;
}

interface Holder {
  readonly userId: string;
  readonly role: Role;
}

/** Those that go on, by their user. */
const SESSIONS: SearchableList = {
  table: 'sessions',
  indexes: [[{ columns: ['user_id'], only: 'ended_at IS NULL' }]],
};

/** The locks keep out a suspension or a new password that would not see this session to end it. */
const BEGIN_SESSION = new Statement<{ role: Role }>(
  'begin session',
  `WITH holder AS (
     SELECT users.id, users.role FROM users JOIN passwords ON user_id = users.id
      WHERE users.id = $1 AND status = 'active' AND changed_at = $2
        FOR SHARE
   ), begun AS (
     INSERT INTO sessions (id, user_id, refresh_hash, expires_at)
     SELECT $3, id, $4, now() + interval '30 days' FROM holder
   )
   SELECT role FROM holder`,
);

/** Sessions of users: begun by a sign-in, kept up by refresh tokens, ended for good. */
@Injectable()
export class Sessions {
  private readonly key: KeyObject;

  constructor(
    private readonly dataSource: DataSource,
    private readonly writePath: WritePath,
    private readonly tokens: AccessTokens,
    private readonly verified: VerifiedTokens,
    config: ConfigService<ServiceConfig, true>,
  ) {
    this.key = deriveKey(config.get('ORDO_SECRET', { infer: true }), 'refresh tokens');
  }

  /**
   * Begins a session of 30 days for an account whose password was just found right; undefined when the user is not
   * active (any more) or the password has changed since.
   */
  async begin(account: Account, origin: Origin): Promise<Credentials | undefined> {
    const sessionId = newId();
    const refreshToken = RefreshToken.first(this.key, sessionId);
    const actor = { type: 'user', id: account.id } as const;
    const role = await this.writePath.record({ ...origin, actor }, async (tx) => {
      const values = [account.id, account.changedAt, sessionId, refreshToken.hash];
      const [row] = await BEGIN_SESSION.run(tx, values);
      const occurrence = row && ({ action: 'user.signed-in', subjectId: account.id } as const);
      return { occurrence, result: row?.role };
    });
    return role && this.credentials({ userId: account.id, role }, refreshToken);
  }

  /**
   * Exchanges a refresh token for its successor and a new access token. The token before gets the same successor for
   * 15 s more (tabs, lost answers); after that it ends the session, as it may be in other hands: `refresh-reused`.
   */
  async refresh(text: string, origin: Origin): Promise<Credentials> {
    const token = RefreshToken.parse(this.key, text);
    if (token === undefined) throw notRefreshable();
    const successor = token.successor(this.key);
    const [[holder]] = await this.dataSource.query<[Holder[], number]>(
      `UPDATE sessions SET previous_hash = refresh_hash, refresh_hash = $3, refreshed_at = now()
         FROM users
        WHERE sessions.id = $1 AND refresh_hash = $2 AND ended_at IS NULL AND expires_at > now()
          AND users.id = sessions.user_id AND status = 'active'
        RETURNING users.id AS "userId", role`,
      [token.sessionId, token.hash, successor.hash],
    );
    return this.credentials(holder ?? (await this.holderInGrace(token, origin)), successor);
  }

  /** Whether the session goes on and its user still is what the token says. */
  async isAlive({ userId, sessionId, role }: Claims): Promise<boolean> {
    const rows = await this.dataSource.query<unknown[]>(
      `SELECT FROM sessions JOIN users ON users.id = user_id
        WHERE sessions.id = $1 AND user_id = $2 AND role = $3 AND status = 'active'
          AND ended_at IS NULL AND expires_at > now()`,
      [sessionId, userId, role],
    );
    return rows.length > 0;
  }

  /** One page of the user's sessions that go on, newest first. */
  async list(userId: string, limit: number, after: string | undefined): Promise<Slice<Session>> {
    const { ids, next } = await new KeysetQuery(SESSIONS)
      .equal('user_id', userId, '?::uuid')
      .compare('expires_at', '>', new Date())
      .page(this.dataSource, limit, after);
    const data = await this.dataSource.query<Session[]>(
      `SELECT id, created_at AS "createdAt", refreshed_at AS "refreshedAt", expires_at AS "expiresAt"
         FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id DESC`,
      [ids],
    );
    return { data, next };
  }

  /** Ends one session of the user; false when there is none to end. */
  async end(userId: string, sessionId: string, origin: Origin): Promise<boolean> {
    return this.endThose('AND id = $2', [userId, sessionId], 'user.signed-out', origin);
  }

  /** Ends all sessions of the user. */
  async endAll(userId: string, origin: Origin): Promise<void> {
    await this.endThose('', [userId], 'user.signed-out-everywhere', origin);
  }

  private async endThose(
    condition: string,
    parameters: [userId: string, ...unknown[]],
    action: 'user.signed-out' | 'user.signed-out-everywhere',
    origin: Origin,
  ): Promise<boolean> {
    const [userId] = parameters;
    const ended = await this.writePath.record(origin, async (tx) => {
      const [, count] = await tx.query<[unknown, number]>(
        `UPDATE sessions SET ended_at = now() WHERE user_id = $1 AND ended_at IS NULL ${condition}`,
        parameters,
      );
      return { occurrence: count > 0 ? { action, subjectId: userId } : undefined, result: count > 0 };
    });
    this.verified.forget(userId);
    return ended;
  }

  /** Whose session the token belongs to that was exchanged less than 15 s ago; throws when it is no such token. */
  private async holderInGrace(token: RefreshToken, origin: Origin): Promise<Holder> {
    const [session] = await this.dataSource.query<
      (Holder & { isAlive: boolean; hasExpired: boolean; isInGrace: boolean | null })[]
    >(
      `SELECT user_id AS "userId", role, ended_at IS NULL AND status = 'active' AS "isAlive",
              expires_at <= now() AS "hasExpired",
              previous_hash = $2 AND refreshed_at > now() - interval '15 s' AS "isInGrace"
         FROM sessions JOIN users ON users.id = user_id
        WHERE sessions.id = $1`,
      [token.sessionId, token.hash],
    );
    if (session === undefined || !session.isAlive) throw notRefreshable();
    if (session.hasExpired) throw unauthenticated('The session has expired.', 'token-expired', true);
    if (session.isInGrace === true) return session;
    await this.writePath.record(origin, async (tx) => {
      const [, count] = await tx.query<[unknown, number]>(
        `UPDATE sessions SET ended_at = now() WHERE id = $1 AND ended_at IS NULL`,
        [token.sessionId],
      );
      const occurrence = { action: 'user.refresh-reused', subjectId: session.userId } as const;
      return { occurrence: count > 0 ? occurrence : undefined, result: undefined };
    });
    this.verified.forget(session.userId);
    throw unauthenticated(
      'This refresh token was used before: the session is ended.',
      'refresh-reused',
      true,
    );
  }

  private async credentials({ userId, role }: Holder, refreshToken: RefreshToken): Promise<Credentials> {
    const accessToken = await this.tokens.sign({ userId, sessionId: refreshToken.sessionId, role });
    return { accessToken, refreshToken: refreshToken.text };
  }
}

function notRefreshable() {
  return unauthenticated('The refresh token is not valid.', 'unauthenticated', true);
}
