import type { Transaction } from '../../database/transaction.js';
import { completeRoot } from '../log/tree.js';

/** Leaves of a tile of the lowest level, and hashes of every full tile. */
const TILE = 256;

/** Stores the root of every tile that the leaves `added` complete, in a tree that had `size` leaves before. */
export async function extendSubtrees(tx: Transaction, size: number, added: readonly Buffer[]): Promise<void> {
  let first = size;
  let hashes = added;
  for (let level = 1; ; level++) {
    const firstTile = Math.floor(first / TILE);
    const fullTiles = Math.floor((first + hashes.length) / TILE);
    if (fullTiles === firstTile) return;
    const tileStart = firstTile * TILE;
    const row = [...(await storedHashes(tx, level - 1, tileStart, first)), ...hashes];
    const roots = Array.from({ length: fullTiles - firstTile }, (_, tile) =>
      completeRoot(row.slice(tile * TILE, (tile + 1) * TILE)),
    );
    await tx.query(
      `INSERT INTO audit_subtrees (level, position, hash)
       SELECT $1, $2 + ordinality - 1, hash FROM unnest($3::bytea[]) WITH ORDINALITY AS root (hash, ordinality)`,
      [level, firstTile, roots],
    );
    first = firstTile;
    hashes = roots;
  }
}

/** The hashes of a level (0: the leaves) from position `from` to before `to`. */
async function storedHashes(tx: Transaction, level: number, from: number, to: number): Promise<Buffer[]> {
  const rows = await tx.query<{ hash: Buffer }[]>(
    level === 0
      ? `SELECT hash FROM audit_leaves WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index`
      : `SELECT hash FROM audit_subtrees WHERE position >= $1 AND position < $2 AND level = $3 ORDER BY position`,
    level === 0 ? [from, to] : [from, to, level],
  );
  if (rows.length !== to - from) throw new Error(`The log lacks hashes of level ${level}`);
  return rows.map(({ hash }) => hash);
}
