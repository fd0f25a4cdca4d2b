import { setImmediate } from 'node:timers/promises';
import type { Transaction } from '../../database/transaction.js';
import { storedHashes } from '../log/stored-tree.js';
import { completeRoot } from '../log/tree.js';

/** Hashes of a full tile. */
const TILE = 256;

/** Stores the root of every tile that the leaves `added` complete, in a tree that had `size` leaves before. */
export async function extendSubtrees(tx: Transaction, size: number, added: readonly Buffer[]): Promise<void> {
  let first = size;
  let hashes = added;
  for (let level = 1; ; level++) {
    const firstTile = Math.floor(first / TILE);
    const fullTiles = Math.floor((first + hashes.length) / TILE);
    if (fullTiles === firstTile) return;
    const [begun = []] = await storedHashes(tx, [{ level: level - 1, first: firstTile * TILE, past: first }]);
    const row = [...begun, ...hashes];
    const roots: Buffer[] = [];
    for (let tile = 0; tile < fullTiles - firstTile; tile++) {
      roots.push(completeRoot(row.slice(tile * TILE, (tile + 1) * TILE)));
      // Requests come in between: a whole batch is thousands of hashes.
      await setImmediate();
    }
    await tx.query(
      `INSERT INTO audit_subtrees (level, position, hash)
       SELECT $1, $2 + ordinality - 1, hash FROM unnest($3::bytea[]) WITH ORDINALITY AS root (hash, ordinality)`,
      [level, firstTile, roots],
    );
    first = firstTile;
    hashes = roots;
  }
}
