import type { DataSource } from 'typeorm';
import { changeInSnapshot, type Transaction } from '../../database/transaction.js';
import { type Range, without } from './gaps.js';
import { extendSubtrees } from './subtrees.js';

/** Events that one transaction seals at most. */
export const BATCH = 5_000;

/** What came of one attempt to seal: the leaves added, or that another process is at it. */
export type Sealed = { readonly leaves: number } | 'busy';

/** An event that gets a leaf. `gap` is where its number was missing when later ones were sealed. */
interface Candidate {
  readonly seq: number;
  readonly leafHash: Buffer;
  readonly gap: (Range & { readonly horizon: string }) | undefined;
}

/**
 * Gives leaves to the events that have none, the oldest first, {@link BATCH} at most, in one transaction. Throws what
 * the database says, also 40001 or 23505 where another process was faster: nothing is sealed then.
 */
export async function seal(dataSource: DataSource): Promise<Sealed> {
  return changeInSnapshot<Sealed>(dataSource, async (tx) => {
    await tx.query(`SET LOCAL ROLE ordo_sealer`);
    const [lock] = await tx.query<[{ taken: boolean }]>(
      `SELECT pg_try_advisory_xact_lock(hashtextextended('ordo sealer', 0)) AS taken`,
    );
    if (!lock.taken) return { commit: false, result: 'busy' };
    // Whoever has sealed since this snapshot was taken has changed the row: this fails then, with 40001.
    const [state] = await tx.query<[{ lastSeq: number }]>(
      `SELECT last_seq AS "lastSeq" FROM audit_sealing FOR NO KEY UPDATE`,
    );
    const found = await candidates(tx, state.lastSeq);
    await addLeaves(tx, found);
    await keepGaps(tx, state.lastSeq, found);
    return { commit: true, result: { leaves: found.length } };
  });
}

/** The events without a leaf that this snapshot sees, by sequence number: in gaps, or past all that is sealed. */
async function candidates(tx: Transaction, lastSeq: number): Promise<Candidate[]> {
  const rows = await tx.query<
    { seq: number; hash: Buffer; first: number | null; last: number; horizon: string }[]
  >(
    `SELECT event.seq, event.leaf_hash AS hash, first_seq AS first, last_seq AS last, horizon
       FROM audit_gaps, LATERAL (
         SELECT seq, leaf_hash FROM audit_events WHERE seq BETWEEN first_seq AND last_seq ORDER BY seq LIMIT $2
       ) AS event
     UNION ALL
     (SELECT seq, leaf_hash, NULL, NULL, NULL FROM audit_events WHERE seq > $1 ORDER BY seq LIMIT $2)
     ORDER BY seq LIMIT $2`,
    [lastSeq, BATCH],
  );
  return rows.map(({ seq, hash, first, last, horizon }) => ({
    seq,
    leafHash: hash,
    gap: first === null ? undefined : { first, last, horizon },
  }));
}

/** Numbers the events densely after the last leaf. */
async function addLeaves(tx: Transaction, found: readonly Candidate[]): Promise<void> {
  if (found.length === 0) return;
  const [{ size }] = await tx.query<[{ size: number }]>(
    `SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM audit_leaves`,
  );
  const hashes = found.map(({ leafHash }) => leafHash);
  await tx.query(
    `INSERT INTO audit_leaves (leaf_index, event_seq, hash)
     SELECT $1 + ordinality - 1, seq, hash
       FROM unnest($2::bigint[], $3::bytea[]) WITH ORDINALITY AS event (seq, hash, ordinality)`,
    [size, found.map(({ seq }) => seq), hashes],
  );
  await extendSubtrees(tx, size, hashes);
}

/**
 * Records which numbers are missing up to the last that is sealed, takes out those that were found, and forgets those
 * that nobody can hold any more.
 */
async function keepGaps(tx: Transaction, lastSeq: number, found: readonly Candidate[]): Promise<void> {
  const recent = found.filter(({ gap }) => gap === undefined).map(({ seq }) => seq);
  const sealedTo = recent.at(-1) ?? lastSeq;
  const late = Map.groupBy(
    found.filter(({ gap }) => gap !== undefined),
    ({ gap }) => gap?.first,
  );
  const parts = [...late.values()].flatMap((events) => {
    const { gap } = events[0] ?? {};
    if (gap === undefined) return [];
    const present = events.map(({ seq }) => seq);
    return without(gap, present).map((range) => ({ ...range, horizon: gap.horizon }));
  });
  const fresh = without({ first: lastSeq + 1, last: sealedTo }, recent);
  if (late.size > 0) await tx.query(`DELETE FROM audit_gaps WHERE first_seq = ANY($1)`, [[...late.keys()]]);
  const gaps = [...parts, ...fresh.map((range) => ({ ...range, horizon: null }))];
  if (gaps.length > 0) {
    // The number of this transaction is greater than that of any that was under way when its snapshot was taken.
    await tx.query(
      `INSERT INTO audit_gaps (first_seq, last_seq, horizon)
       SELECT first, last, coalesce(horizon, pg_current_xact_id())
         FROM unnest($1::bigint[], $2::bigint[], $3::xid8[]) AS gap (first, last, horizon)`,
      [gaps.map(({ first }) => first), gaps.map(({ last }) => last), gaps.map(({ horizon }) => horizon)],
    );
  }
  // A full batch may have left events in their gaps.
  if (found.length < BATCH || recent.length > 0) {
    await tx.query(
      `DELETE FROM audit_gaps
        WHERE horizon <= pg_snapshot_xmin(pg_current_snapshot()) OR horizon > pg_current_xact_id()`,
    );
  }
  await tx.query(`UPDATE audit_sealing SET last_seq = $1`, [sealedTo]);
}
