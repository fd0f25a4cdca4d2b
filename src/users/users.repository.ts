import type { Transaction } from '../database/transaction.js';

/** Those of the ids that belong to a user, an erased one left out. */
export async function existingUsers(tx: Transaction, ids: readonly string[]): Promise<Set<string>> {
  return findUsers(tx, ids, '');
}

/**
 * The same, and none of them is erased until the transaction ends. The lock is the one that a row which refers to a user
 * takes anyway.
 */
export async function keepUsers(tx: Transaction, ids: readonly string[]): Promise<Set<string>> {
  return findUsers(tx, ids, 'FOR KEY SHARE');
}

async function findUsers(
  tx: Transaction,
  ids: readonly string[],
  lock: '' | 'FOR KEY SHARE',
): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }[]>(
    `SELECT id FROM users WHERE id = ANY($1::uuid[]) AND status <> 'erased' ${lock}`,
    [ids],
  );
  return new Set(rows.map((row) => row.id));
}
