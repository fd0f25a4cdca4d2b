import type { DataSource } from 'typeorm';

/** How far sealing is behind. */
export interface Backlog {
  /** Sequence numbers past all that is sealed, and events that turned up in gaps; so many events at most. */
  readonly unsealed: number;
  /** Since when the oldest unsealed event is recorded, in seconds; 0 where there is none. */
  readonly oldestSeconds: number;
  readonly leaves: number;
  /** Ranges of numbers whose events may still turn up. */
  readonly gaps: number;
  /** Whether sealing would change anything. */
  readonly hasWork: boolean;
}

/** Late events that are counted, by gap. */
const MOST_LATE = 1_000;

/** Looks what there is to seal. Every gap costs a look into the index of the events. */
export async function readBacklog(dataSource: DataSource): Promise<Backlog> {
  const [backlog] = await dataSource.query<[Backlog]>(
    `SELECT greatest(newest - sealing.last_seq, 0) + late.number AS unsealed,
            coalesce(extract(epoch FROM clock_timestamp() - least(late.recorded_at, recent.recorded_at)), 0)::float
              AS "oldestSeconds",
            leaves, gaps.number AS gaps,
            newest > sealing.last_seq OR late.number > 0 OR gaps.are_over AS "hasWork"
       FROM audit_sealing AS sealing,
            (SELECT coalesce(max(seq), 0) AS newest FROM audit_events) AS events,
            (SELECT coalesce(max(leaf_index) + 1, 0) AS leaves FROM audit_leaves) AS log,
            LATERAL (SELECT min(recorded_at) AS recorded_at FROM (
              SELECT recorded_at FROM audit_events WHERE seq > sealing.last_seq ORDER BY seq LIMIT 1) AS first
            ) AS recent,
            (SELECT count(*) AS number, min(event.recorded_at) AS recorded_at FROM audit_gaps, LATERAL (
               SELECT recorded_at FROM audit_events WHERE seq BETWEEN first_seq AND last_seq
                ORDER BY seq LIMIT ${MOST_LATE}) AS event
            ) AS late,
            (SELECT count(*) AS number,
                    coalesce(bool_or(horizon <= pg_snapshot_xmin(snapshot) OR horizon >= pg_snapshot_xmax(snapshot)), false)
                      AS are_over
               FROM audit_gaps, pg_current_snapshot() AS snapshot) AS gaps`,
  );
  return backlog;
}
