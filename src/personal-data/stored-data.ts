import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { MAX } from 'uuid';
import type { ExportedIdempotencyKey, ExportedSession, SignInData } from './user-export.dto.js';

/** Rows that are read at once; of orders, which come with all their lines, fewer. */
const PART = 500;
const ORDERS = 50;

/** What is stored about a user beside profile, orders and events; no secret, and no hash of one. */
@Injectable()
export class StoredData {
  constructor(private readonly dataSource: DataSource) {}

  /** Since when there is the password, and until when a reset token is valid; null where there is none. */
  async signIn(userId: string): Promise<SignInData> {
    const [row] = await this.dataSource.query<{ changed_at: Date | null; expires_at: Date | null }[]>(
      `SELECT changed_at, expires_at
         FROM (SELECT $1::uuid AS user_id) AS person
              LEFT JOIN passwords USING (user_id) LEFT JOIN reset_tokens USING (user_id)`,
      [userId],
    );
    return {
      passwordChangedAt: row?.changed_at?.toISOString() ?? null,
      resetTokenExpiresAt: row?.expires_at?.toISOString() ?? null,
    };
  }

  /** Sessions, also those that have ended, newest first, part by part. */
  async *sessions(userId: string): AsyncGenerator<readonly ExportedSession[]> {
    const pages = this.pages<SessionRow>(
      `SELECT id, created_at AS "createdAt", refreshed_at AS "refreshedAt", expires_at AS "expiresAt",
              ended_at AS "endedAt"
         FROM sessions WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT ${PART}`,
      userId,
      PART,
    );
    for await (const rows of pages) {
      yield rows.map(({ id, createdAt, refreshedAt, expiresAt, endedAt }) => ({
        id,
        createdAt: createdAt.toISOString(),
        refreshedAt: refreshedAt.toISOString(),
        expiresAt: expiresAt.toISOString(),
        endedAt: endedAt?.toISOString() ?? null,
      }));
    }
  }

  /** Ids of the user's orders, newest first, part by part. */
  async *orderIds(userId: string): AsyncGenerator<readonly string[]> {
    const sql = `SELECT id FROM orders WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT ${ORDERS}`;
    for await (const rows of this.pages<{ id: string }>(sql, userId, ORDERS)) yield rows.map(({ id }) => id);
  }

  /** Keys of the user's requests, as long as they are remembered, in their order, part by part. */
  async *idempotencyKeys(userId: string): AsyncGenerator<readonly ExportedIdempotencyKey[]> {
    let last: string | undefined = '';
    do {
      const rows: KeyRow[] = await this.dataSource.query<KeyRow[]>(
        `SELECT key, event_id AS "eventId", created_at AS "createdAt"
           FROM idempotency_keys WHERE scope = $1 AND key > $2 ORDER BY key LIMIT ${PART}`,
        [userId, last],
      );
      yield rows.map(({ createdAt, ...row }) => ({ ...row, createdAt: createdAt.toISOString() }));
      last = rows.length < PART ? undefined : rows.at(-1)?.key;
    } while (last !== undefined);
  }

  /** Pages of `size` rows by descending id; of `sql` `$1` is the user and `$2` the id that the page comes before. */
  private async *pages<Row extends { readonly id: string }>(
    sql: string,
    userId: string,
    size: number,
  ): AsyncGenerator<readonly Row[]> {
    let before: string | undefined = MAX;
    do {
      const rows: Row[] = await this.dataSource.query<Row[]>(sql, [userId, before]);
      yield rows;
      before = rows.length < size ? undefined : rows.at(-1)?.id;
    } while (before !== undefined);
  }
}

interface SessionRow {
  readonly id: string;
  readonly createdAt: Date;
  readonly refreshedAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
}

interface KeyRow {
  readonly key: string;
  readonly eventId: string;
  readonly createdAt: Date;
}
