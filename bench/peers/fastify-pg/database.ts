import pg from 'pg';
import type { EventRow } from '../rules/audit.js';

/** A pool as node-postgres has it by default: ten connections. */
export function createPool(connectionString: string): pg.Pool {
  // Amounts stay below 2^53.
  pg.types.setTypeParser(pg.types.builtins.INT8, Number);
  return new pg.Pool({ connectionString });
}

/** Runs `work` in one transaction: committed when it returns, rolled back when it throws. */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

export async function insertEvent(client: pg.PoolClient, event: EventRow): Promise<void> {
  await client.query({
    name: 'insert-event',
    text: `INSERT INTO audit_events (id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
                                     request_id, entry, salt, state)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    values: [
      event.id,
      event.at,
      event.actorType,
      event.actorId,
      event.action,
      event.subjectType,
      event.subjectId,
      event.subjectVersion,
      event.requestId,
      event.entry,
      event.salt,
      event.state,
    ],
  });
}
