import type { Socket } from 'node:net';
import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import pg from 'pg';
import type { ServiceConfig } from '../config/config.js';
import { ANSWER_PATIENCE_MS, impatientSocket } from './impatient-socket.js';

/** What answers SQL with rows: the data source, an open transaction, a snapshot. */
export interface Queryable {
  query<T>(sql: string, parameters?: unknown[]): Promise<T>;
}

const CONNECT_PATIENCE_MS = 5_000;

/**
 * Between two statements whoever reads may wait for a slow client, for longer than the role allows; an hour is for
 * processes that vanish without a word. And a statement whose connection is gone has to end with it.
 */
const BEGIN = `
  BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
  SET LOCAL idle_in_transaction_session_timeout = '1h';
  SET LOCAL client_connection_check_interval = '100ms'`;

/** Reads of the database as it was at one moment, however long they take. */
@Injectable()
export class Snapshots {
  private readonly url: string;

  constructor(config: ConfigService<ServiceConfig, true>) {
    this.url = config.get('DATABASE_URL', { infer: true });
  }

  /**
   * Runs `work` on a connection of its own, which takes none from the pool; all that it asks is answered from the moment
   * of its first question. When `signal` aborts, the connection is cut, also in the middle of a statement, and what waits
   * for it throws. The limit of a single statement (`statement_timeout`) holds as everywhere.
   */
  async read<T>(signal: AbortSignal, work: (snapshot: Queryable) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const socket = impatientSocket(CONNECT_PATIENCE_MS)();
    const client = new pg.Client({
      connectionString: this.url,
      application_name: 'ordo snapshot',
      stream: () => socket,
    });
    // A connection that is lost between two statements makes the next one fail.
    client.on('error', () => undefined);
    const cut = () => socket.destroy();
    signal.addEventListener('abort', cut);
    try {
      await client.connect();
      const snapshot = queryable(client, socket);
      await snapshot.query(BEGIN);
      return await work(snapshot);
    } finally {
      signal.removeEventListener('abort', cut);
      socket.setTimeout(ANSWER_PATIENCE_MS);
      // Nothing was written: the end of the connection is the end of the transaction.
      void client.end();
    }
  }
}

/** Impatient only while an answer is due. */
function queryable(client: pg.Client, socket: Socket): Queryable {
  return {
    async query<T>(sql: string, parameters: unknown[] = []): Promise<T> {
      socket.setTimeout(ANSWER_PATIENCE_MS);
      try {
        return (await client.query(sql, parameters)).rows as T;
      } finally {
        socket.setTimeout(0);
      }
    },
  };
}
