import type { Transaction } from '../database/transaction.js';

/** Those of the ids that belong to a user. */
export async function existingUsers(tx: Transaction, ids: readonly string[]): Promise<Set<string>> {
  const rows = await tx.query<{ id: string }[]>(`SELECT id FROM users WHERE id = ANY($1::uuid[])`, [ids]);
  return new Set(rows.map((row) => row.id));
}
