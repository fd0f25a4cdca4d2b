import { encodeEvent, type NewEvent } from './entry.js';
import { column, Statement } from './statement.js';
import type { Transaction } from './transaction.js';

const INSERT_EVENTS = new Statement<never>(
  'insert events',
  `INSERT INTO audit_events (id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
                             request_id, entry, salt, state)
   SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                        $8::integer[], $9::uuid[], $10::bytea[], $11::bytea[], $12::bytea[])`,
);

/** Stores events in one statement; their order is that of `seq`. Their subjects' rows are locked or new. */
export async function insertEvents(tx: Transaction, events: readonly NewEvent[]): Promise<void> {
  const origins = column(events, 'origin');
  const actors = column(origins, 'actor');
  const encoded = events.map(encodeEvent);
  const subjects = column(encoded, 'subject');
  await INSERT_EVENTS.run(tx, [
    column(events, 'id'),
    column(encoded, 'at'),
    column(actors, 'type'),
    column(actors, 'id'),
    column(column(events, 'event'), 'action'),
    column(subjects, 'type'),
    column(subjects, 'id'),
    column(subjects, 'version'),
    column(origins, 'requestId'),
    column(encoded, 'entry'),
    column(encoded, 'salt'),
    column(encoded, 'state'),
  ]);
}
