import { encodeEvent, type NewEvent } from './entry.js';
import type { Transaction } from './transaction.js';

/** Stores events in one statement; their order is that of `seq`. Their subjects' rows are locked or new. */
export async function insertEvents(tx: Transaction, events: readonly NewEvent[]): Promise<void> {
  const rows = events.map((event) => ({ ...event, ...encodeEvent(event) }));
  await tx.query(
    `INSERT INTO audit_events (id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
                               request_id, entry, salt, state)
     SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                          $8::integer[], $9::uuid[], $10::bytea[], $11::bytea[], $12::bytea[])`,
    [
      rows.map((row) => row.id),
      rows.map((row) => row.at),
      rows.map((row) => row.origin.actor.type),
      rows.map((row) => row.origin.actor.id),
      rows.map((row) => row.event.action),
      rows.map((row) => row.subject.type),
      rows.map((row) => row.subject.id),
      rows.map((row) => row.subject.version),
      rows.map((row) => row.origin.requestId),
      rows.map((row) => row.entry),
      rows.map((row) => row.salt),
      rows.map((row) => row.state),
    ],
  );
}
