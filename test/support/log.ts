import { createHash, randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import type pg from 'pg';
import type { TestDatabase } from './database.js';
import { eventRow, insert, type Row } from './rows.js';

type Queryable = Pick<TestDatabase, 'query'>;

const sha256 = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

/** RFC 6962's Merkle tree hash as it is written there, from the hashes of the leaves. */
export function naiveRoot(leaves: readonly Buffer[]): Buffer {
  const [only = sha256()] = leaves;
  if (leaves.length <= 1) return only;
  let middle = 1;
  while (middle * 2 < leaves.length) middle *= 2;
  return sha256(Buffer.of(1), naiveRoot(leaves.slice(0, middle)), naiveRoot(leaves.slice(middle)));
}

/** Inserts the event of a subject's version, of a new user's first one unless told otherwise; returns its sequence number. */
export async function addEvent(
  client: pg.Client,
  { id = randomUUID(), version = 1, columns = {} }: { id?: string; version?: number; columns?: Row } = {},
): Promise<number> {
  const [sql, ...parameters] = insert('audit_events', eventRow('user', id, version, columns));
  const { rows } = await client.query<{ seq: string }>(`${sql} RETURNING seq`, parameters);
  return Number(rows[0]?.seq);
}

/** Inserts as many events at once, each of a user of its own. */
export async function addEvents(client: pg.Client, count: number): Promise<void> {
  await client.query(
    `INSERT INTO audit_events (id, at, actor_type, action, subject_type, subject_id, subject_version, request_id, entry)
     SELECT gen_random_uuid(), now(), 'system', 'user.touched', 'user', gen_random_uuid(), 1, gen_random_uuid(),
            convert_to('event ' || n, 'UTF8') FROM generate_series(1, $1::integer) AS n`,
    [count],
  );
}

/** Sequence numbers of the sealed events, by leaf. */
export async function sealedEvents({ query }: Queryable): Promise<number[]> {
  const rows = await query<{ seq: string }>(`SELECT event_seq AS seq FROM audit_leaves ORDER BY leaf_index`);
  return rows.map(({ seq }) => Number(seq));
}

/** The gaps, as `first-last`. */
export async function gapsOf({ query }: Queryable): Promise<string[]> {
  const rows = await query<{ gap: string }>(
    `SELECT first_seq || '-' || last_seq AS gap FROM audit_gaps ORDER BY first_seq`,
  );
  return rows.map(({ gap }) => gap);
}

/**
 * What must hold of the log whatever happened: every event has its leaf, the leaves are dense from 0 and hash the
 * entries, versions of a subject are in order, the stored subtrees and the published checkpoints are those of the leaves.
 */
export async function expectSound({ query }: Queryable): Promise<void> {
  const events = await query<{ seq: string; subject: string; version: number | null; entry: Buffer }>(
    `SELECT seq, subject_id AS subject, subject_version AS version, entry FROM audit_events`,
  );
  const bySeq = new Map(events.map((event) => [event.seq, event]));
  const leaves = await query<{ index: string; seq: string; hash: Buffer }>(
    `SELECT leaf_index AS index, event_seq AS seq, hash FROM audit_leaves ORDER BY leaf_index`,
  );
  expect(leaves.length).toBe(events.length);
  const newest = new Map<string, number>();
  const faults: string[] = [];
  for (const [position, { index, seq, hash }] of leaves.entries()) {
    const event = bySeq.get(seq);
    if (event === undefined || Number(index) !== position) faults.push(`leaf ${index} of ${seq}`);
    if (event === undefined) continue;
    if (!hash.equals(sha256(Buffer.of(0), event.entry))) faults.push(`hash of leaf ${index}`);
    if (event.version === null) continue;
    const before = newest.get(event.subject) ?? 0;
    if (event.version <= before) faults.push(`version ${event.version} after ${before} at leaf ${index}`);
    newest.set(event.subject, event.version);
  }
  expect(faults).toEqual([]);
  const hashes = leaves.map(({ hash }) => hash);
  await expectSubtrees({ query }, hashes);
  const checkpoints = await query<{ size: string; root: Buffer }>(`SELECT size, root FROM audit_checkpoints`);
  const wrong = checkpoints.filter(
    ({ size, root }) => !naiveRoot(hashes.slice(0, Number(size))).equals(root),
  );
  expect(wrong).toEqual([]);
}

/** The stored subtrees are those of the full tiles over these leaves, no more and no less. */
export async function expectSubtrees({ query }: Queryable, leaves: readonly Buffer[]): Promise<void> {
  const stored = await query<{ level: number; position: string; hash: Buffer }>(
    `SELECT level, position, hash FROM audit_subtrees ORDER BY level, position`,
  );
  const expected: string[] = [];
  for (let level = 1, width = 256; width <= leaves.length; level++, width *= 256) {
    for (let position = 0; (position + 1) * width <= leaves.length; position++) {
      const root = naiveRoot(leaves.slice(position * width, (position + 1) * width));
      expected.push(`${level} ${position} ${root.toString('hex')}`);
    }
  }
  expect(stored.map(({ level, position, hash }) => `${level} ${position} ${hash.toString('hex')}`)).toEqual(
    expected,
  );
}
