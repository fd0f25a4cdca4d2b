import { encodeEvent, type NewEvent } from './entry.js';
import { column, Statement } from './statement.js';
import type { Transaction } from './transaction.js';

export const EVENT_COLUMNS = `id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
  request_id, entry, salt, state`;
/** The types of these columns, as the arrays that `eventValues` has for them. */
export const EVENT_ARRAYS = `$1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
  $8::integer[], $9::uuid[], $10::bytea[], $11::bytea[], $12::bytea[]`;

const INSERT_EVENTS = new Statement<never>(
  'insert events',
  `INSERT INTO audit_events (${EVENT_COLUMNS}) SELECT * FROM unnest(${EVENT_ARRAYS})`,
);

/** Stores events in one statement; their order is that of `seq`. Their subjects' rows are locked or new. */
export async function insertEvents(tx: Transaction, events: readonly NewEvent[]): Promise<void> {
  await INSERT_EVENTS.run(tx, eventValues(events));
}

/** What the columns of events hold, as the arrays of `EVENT_ARRAYS`. */
export function eventValues(events: readonly NewEvent[]): readonly unknown[][] {
  const origins = column(events, 'origin');
  const actors = column(origins, 'actor');
  const encoded = events.map(encodeEvent);
  const subjects = column(encoded, 'subject');
  return [
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
  ];
}
