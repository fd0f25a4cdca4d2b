import type { DataSource } from 'typeorm';
import { changeInSnapshot, type Transaction } from '../../database/transaction.js';
import { storedSize } from '../log/stored-tree.js';
import { type Range, without } from './gaps.js';
import { extendSubtrees } from './subtrees.js';

/** Events that one transaction seals at most. */
export const BATCH = 5_000;

const HASH_LENGTH = 32;

/** What came of one attempt to seal: the leaves added, or that another process is at it. */
export type Sealed = { readonly leaves: number } | 'busy';

/** Where numbers were missing when later ones were sealed. */
interface Gap extends Range {
  /** The number of the transaction that recorded it; null: that of this one. */
  readonly horizon: string | null;
}

/**
 * Gives leaves to the events that have none, the oldest first, {@link BATCH} at most, in one transaction. Throws what
 * the database says, also 40001 or 23505 where another process was faster: nothing is sealed then.
 */
export async function seal(dataSource: DataSource): Promise<Sealed> {
  return changeInSnapshot<Sealed>(dataSource, async (tx) => {
    // Along the index, whatever statistics say: without any, each batch would scan and sort all that is left.
    await tx.query(
      `SET LOCAL ROLE ordo_sealer; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off`,
    );
    const [lock] = await tx.query<[{ taken: boolean }]>(
      `SELECT pg_try_advisory_xact_lock(hashtextextended('ordo sealer', 0)) AS taken`,
    );
    if (!lock.taken) return { commit: false, result: 'busy' };
    // Whoever has sealed since this snapshot was taken has changed the row: this fails then, with 40001.
    const [{ lastSeq }] = await tx.query<[{ lastSeq: number }]>(
      `SELECT last_seq AS "lastSeq" FROM audit_sealing FOR NO KEY UPDATE`,
    );
    const size = await storedSize(tx);
    const { seqs, hashes } = await addLeaves(tx, size, lastSeq);
    await extendSubtrees(tx, size, hashes);
    const late = seqs.filter((seq) => seq <= lastSeq);
    const recent = seqs.slice(late.length);
    const sealedTo = recent.at(-1) ?? lastSeq;
    if (late.length > 0) await fillGaps(tx, late);
    // A full batch may have left events in their gaps.
    if (seqs.length < BATCH || recent.length > 0) await forgetGaps(tx);
    const missing = without({ first: lastSeq + 1, last: sealedTo }, recent);
    await addGaps(
      tx,
      missing.map((range) => ({ ...range, horizon: null })),
    );
    await tx.query(`UPDATE audit_sealing SET last_seq = $1`, [sealedTo]);
    return { commit: true, result: { leaves: seqs.length } };
  });
}

/**
 * Numbers the events without a leaf that this snapshot sees, in gaps or past all that is sealed, densely by sequence
 * number after the last leaf. Returns the numbers and the hashes of the leaves, in the same order.
 */
async function addLeaves(tx: Transaction, size: number, lastSeq: number) {
  const [added] = await tx.query<[{ seqs: number[]; hashes: Buffer }]>(
    `WITH added AS (
       INSERT INTO audit_leaves (leaf_index, event_seq, hash)
       SELECT $1 + row_number() OVER (ORDER BY seq) - 1, seq, leaf_hash FROM (
         SELECT event.* FROM audit_gaps, LATERAL (
           SELECT seq, leaf_hash FROM audit_events WHERE seq BETWEEN first_seq AND last_seq ORDER BY seq LIMIT $3
         ) AS event
         UNION ALL
         (SELECT seq, leaf_hash FROM audit_events WHERE seq > $2 ORDER BY seq LIMIT $3)
         ORDER BY seq LIMIT $3
       ) AS unsealed
       RETURNING leaf_index, event_seq, hash
     )
     SELECT coalesce(array_agg(event_seq ORDER BY leaf_index), '{}') AS seqs,
            coalesce(string_agg(hash, '' ORDER BY leaf_index), '') AS hashes FROM added`,
    [size, lastSeq, BATCH],
  );
  const hashes = added.seqs.map((_, leaf) =>
    added.hashes.subarray(leaf * HASH_LENGTH, (leaf + 1) * HASH_LENGTH),
  );
  return { seqs: added.seqs, hashes };
}

/** Takes numbers that have been found out of their gaps, of which the rest stays. */
async function fillGaps(tx: Transaction, found: readonly number[]): Promise<void> {
  const rows = await tx.query<(Gap & { seq: number })[]>(
    `SELECT seq, first_seq AS first, last_seq AS last, horizon
       FROM unnest($1::bigint[]) AS late (seq), LATERAL (
         SELECT * FROM audit_gaps WHERE first_seq <= seq ORDER BY first_seq DESC LIMIT 1
       ) AS gap ORDER BY seq`,
    [found],
  );
  const parts: Gap[] = [];
  const gaps = Map.groupBy(rows, ({ first }) => first);
  for (const filled of gaps.values()) {
    const [gap] = filled;
    if (gap === undefined) continue;
    const present = filled.map(({ seq }) => seq);
    parts.push(...without(gap, present).map((range) => ({ ...range, horizon: gap.horizon })));
  }
  await tx.query(`DELETE FROM audit_gaps WHERE first_seq = ANY($1)`, [[...gaps.keys()]]);
  await addGaps(tx, parts);
}

/**
 * Forgets the gaps that this snapshot has found empty and that nobody can fill any more: whoever could has ended, or is
 * of another cluster, from which this one was restored.
 */
async function forgetGaps(tx: Transaction): Promise<void> {
  await tx.query(
    `DELETE FROM audit_gaps
      WHERE horizon <= pg_snapshot_xmin(pg_current_snapshot()) OR horizon > pg_current_xact_id()`,
  );
}

async function addGaps(tx: Transaction, gaps: readonly Gap[]): Promise<void> {
  if (gaps.length === 0) return;
  // The number of this transaction is greater than that of any that was under way when its snapshot was taken.
  await tx.query(
    `INSERT INTO audit_gaps (first_seq, last_seq, horizon)
     SELECT first, last, coalesce(horizon, pg_current_xact_id())
       FROM unnest($1::bigint[], $2::bigint[], $3::xid8[]) AS gap (first, last, horizon)`,
    [gaps.map(({ first }) => first), gaps.map(({ last }) => last), gaps.map(({ horizon }) => horizon)],
  );
}
