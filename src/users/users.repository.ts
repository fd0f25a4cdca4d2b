import type { Transaction } from '../database/transaction.js';

/** Those of the ids that belong to a user, erased or not. */
export async function existingUsers(tx: Transaction, ids: readonly string[]): Promise<Set<string>> {
  return findUsers(tx, ids, '');
}

/** Those of the ids that belong to a user who is not erased. */
export async function reachableUsers(tx: Transaction, ids: readonly string[]): Promise<Set<string>> {
  return findUsers(tx, ids, `AND status <> 'erased'`);
}

async function findUsers(tx: Transaction, ids: readonly string[], which: string): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }[]>(`SELECT id FROM users WHERE id = ANY($1::uuid[]) ${which}`, [
    ids,
  ]);
  return new Set(rows.map((row) => row.id));
}
