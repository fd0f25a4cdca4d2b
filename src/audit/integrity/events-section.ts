import type { Transaction } from '../../database/transaction.js';
import { checkEvent, type ExaminedEvent, type SubjectOfEvent } from './event-checks.js';
import { type Bounds, differencesOf, type Section, type SectionPage } from './section.js';
import type { SubjectChecks } from './subject-check.js';

/** How many events a page may look at for those of one type. */
const SCAN_LIMIT = 2_000;
const TIME = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;

/** The events (of one type of subject), as they stand in the trail: each against itself, its subject and the one before. */
export class EventsSection implements Section {
  readonly table = 'audit_events';

  constructor(
    private readonly checks: SubjectChecks,
    private readonly type: string | undefined,
  ) {}

  get name(): string {
    return this.type === undefined ? 'events' : `${this.type} events`;
  }

  async bounds(tx: Transaction): Promise<Bounds | undefined> {
    const [bounds] = await tx.query<[{ first: string | null; last: string | null }]>(
      `SELECT min(seq)::text AS first, max(seq)::text AS last FROM audit_events`,
    );
    return bounds.first === null || bounds.last === null
      ? undefined
      : { first: bounds.first, last: bounds.last };
  }

  async page(tx: Transaction, after: string | undefined, last: string, limit: number): Promise<SectionPage> {
    const scanLimit = this.type === undefined ? limit : SCAN_LIMIT;
    const [{ found, next }] = await tx.query<[{ found: string[] | null; next: string | null }]>(
      `WITH scanned AS MATERIALIZED (
         SELECT seq, subject_type FROM audit_events
          WHERE seq <= $1 AND ${after === undefined ? '$2::bigint IS NULL' : 'seq > $2'} ORDER BY seq LIMIT ${scanLimit}
       ), found AS MATERIALIZED (
         SELECT seq FROM scanned WHERE subject_type = $3 OR $3::text IS NULL ORDER BY seq LIMIT ${limit}
       )
       SELECT (SELECT array_agg(seq::text ORDER BY seq) FROM found) AS found,
              CASE WHEN (SELECT count(*) FROM found) = ${limit} THEN (SELECT max(seq) FROM found)
                   WHEN (SELECT count(*) FROM scanned) = ${scanLimit} THEN (SELECT max(seq) FROM scanned) END::text AS next`,
      [last, after ?? null, this.type ?? null],
    );
    const events = found === null ? [] : await this.read(tx, found);
    const differences = events.flatMap((event) => {
      const { id: eventId, subjectType: type, subjectId: id, version } = event;
      return differencesOf(
        { subject: { type, id }, version, eventId },
        checkEvent(event, this.checks.get(type)),
      );
    });
    return { checked: events.length, differences, next: next ?? undefined };
  }

  measure(key: string): number {
    return Number(key);
  }

  /** The events with what they are held against: the one before of the same subject, the subject's row, the log. */
  private async read(tx: Transaction, seqs: readonly string[]): Promise<ExaminedEvent[]> {
    const events = await tx.query<Omit<ExaminedEvent, 'row'>[]>(
      `SELECT event.seq, event.id, to_char(event.at AT TIME ZONE 'UTC', ${TIME}) AS at,
              event.actor_type AS "actorType", event.actor_id AS "actorId", event.action,
              event.subject_type AS "subjectType", event.subject_id AS "subjectId", event.subject_version AS version,
              event.request_id AS "requestId", event.entry, event.leaf_hash AS "leafHash", event.salt, event.state,
              CASE WHEN previous.seq IS NOT NULL THEN json_build_object(
                'isLater', previous.seq > event.seq OR previous.at > event.at,
                'isAlike', previous.subject_type = event.subject_type) END AS previous,
              previous.state AS "previousState",
              CASE WHEN leaf.leaf_index IS NOT NULL THEN json_build_object(
                'index', leaf.leaf_index, 'previous', previous_leaf.leaf_index) END AS leaf,
              leaf.hash AS "sealedHash",
              event.seq <= (SELECT coalesce(max(last_seq), 0) FROM audit_sealing) AND NOT EXISTS (
                SELECT FROM (
                  SELECT last_seq FROM audit_gaps WHERE first_seq <= event.seq ORDER BY first_seq DESC LIMIT 1
                ) AS gap WHERE gap.last_seq >= event.seq) AS "isSealed"
         FROM audit_events AS event
         LEFT JOIN audit_leaves AS leaf ON leaf.event_seq = event.seq
         LEFT JOIN audit_events AS previous ON previous.subject_id = event.subject_id
                                           AND previous.subject_version = event.subject_version - 1
         LEFT JOIN audit_leaves AS previous_leaf ON previous_leaf.event_seq = previous.seq
        WHERE event.seq = ANY($1::bigint[])
        ORDER BY event.seq`,
      [seqs],
    );
    const ids = [...new Set(events.flatMap(({ subjectId }) => subjectId ?? []))];
    const rows = await this.findRows(tx, ids);
    return events.map((event) => ({ ...event, row: rows.get(`${event.subjectType} ${event.subjectId}`) }));
  }

  private async findRows(tx: Transaction, ids: readonly string[]): Promise<Map<string, SubjectOfEvent>> {
    const selects = this.checks
      .all()
      .map(
        ({ type, table, isErased }) =>
          `SELECT '${type}' AS type, id, version, ${isErased} AS "isErased" FROM ${table} WHERE id = ANY($1::uuid[])`,
      );
    const rows = await tx.query<(SubjectOfEvent & { type: string; id: string })[]>(
      selects.join(' UNION ALL '),
      [ids],
    );
    return new Map(rows.map((row) => [`${row.type} ${row.id}`, row]));
  }
}
