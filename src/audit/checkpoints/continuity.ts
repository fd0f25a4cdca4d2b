import type { Transaction } from '../../database/transaction.js';
import type { TreeHead } from '../log/checkpoint.js';
import { storedProof, storedRoots, storedSize } from '../log/stored-tree.js';
import { foldRoots, nodesOfConsistency, nodesOfRoot, verifyConsistency } from '../log/tree.js';
import { Contradiction } from '../obstacle.js';

/** A head that was signed before. */
export interface EarlierHead {
  readonly head: TreeHead;
  /** Where it is from, in words. */
  readonly from: string;
}

/**
 * The head of the tree as it is stored, if that continues every earlier one: shown by the proof that an outsider would
 * ask for, so that a wrong hash anywhere on the way is found as well. Throws Contradiction otherwise.
 */
export async function continuedHead(
  tx: Transaction,
  origin: string,
  earlier: readonly EarlierHead[],
): Promise<TreeHead> {
  const size = await storedSize(tx);
  const root = foldRoots(await storedRoots(tx, nodesOfRoot(size)));
  for (const { head, from } of earlier) {
    if (head.size > size) {
      throw new Contradiction(`The log has lost leaves: it has ${size}, ${from} has ${head.size}`);
    }
    const proof = await storedProof(tx, head.size === 0 ? [] : nodesOfConsistency(head.size, size));
    if (!verifyConsistency(head.size, size, proof, head.root, root)) {
      throw new Contradiction(`The log was changed: it contradicts ${from} of size ${head.size}`);
    }
  }
  return { origin, size, root };
}
