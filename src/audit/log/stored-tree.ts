import type { Transaction } from '../../database/transaction.js';
import { Contradiction } from '../obstacle.js';
import { completeRoot, foldRoots, type Node } from './tree.js';

/** Hashes of one level of tiles: 0 is that of the leaves, 1 that of the roots over 256 of them each, and so on. */
export interface Span {
  readonly level: number;
  /** Positions from `first` to before `past`. */
  readonly first: number;
  readonly past: number;
}

/** Every eighth level of the tree is stored: a tile is 2^8 leaves wide. */
const TILE_HEIGHT = 8;

/** The number of leaves. */
export async function storedSize(tx: Transaction): Promise<number> {
  const [{ size }] = await tx.query<[{ size: number }]>(
    `SELECT coalesce(max(leaf_index) + 1, 0) AS size FROM audit_leaves`,
  );
  return size;
}

/** The hashes of each span, as they were sealed. Throws where the log has fewer. */
export async function storedHashes(tx: Transaction, spans: readonly Span[]): Promise<Buffer[][]> {
  if (spans.length === 0) return [];
  const rows = await tx.query<{ number: number; hash: Buffer }[]>(
    `SELECT wanted.number, stored.hash
       FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS wanted (level, first, past, number),
            LATERAL (
              SELECT leaf_index AS position, hash FROM audit_leaves
               WHERE wanted.level = 0 AND leaf_index >= first AND leaf_index < past
              UNION ALL
              SELECT position, hash FROM audit_subtrees AS subtree
               WHERE wanted.level > 0 AND subtree.level = wanted.level AND position >= first AND position < past
            ) AS stored
      ORDER BY wanted.number, stored.position`,
    [spans.map(({ level }) => level), spans.map(({ first }) => first), spans.map(({ past }) => past)],
  );
  const byNumber = Map.groupBy(rows, ({ number }) => number);
  return spans.map(({ level, first, past }, index) => {
    const found = byNumber.get(index + 1) ?? [];
    if (found.length !== past - first)
      throw new Contradiction(`The log lacks hashes of level ${level}, from ${first} on`);
    return found.map(({ hash }) => hash);
  });
}

/** The roots of complete subtrees, computed from what was sealed. Throws where the log is shorter. */
export async function storedRoots(tx: Transaction, nodes: readonly Node[]): Promise<Buffer[]> {
  const spans = nodes.map(({ height, position }) => {
    const width = 2 ** (height % TILE_HEIGHT);
    return {
      level: Math.floor(height / TILE_HEIGHT),
      first: position * width,
      past: (position + 1) * width,
    };
  });
  return (await storedHashes(tx, spans)).map(completeRoot);
}

/** The hashes of a proof, from the subtrees of each (as `nodesOfInclusion` tells them). Throws where the log is shorter. */
export async function storedProof(tx: Transaction, steps: readonly (readonly Node[])[]): Promise<Buffer[]> {
  const roots = await storedRoots(tx, steps.flat());
  let next = 0;
  return steps.map((nodes) => foldRoots(roots.slice(next, (next += nodes.length))));
}
