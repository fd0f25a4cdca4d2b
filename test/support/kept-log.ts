import type { TestDatabase } from './database.js';

const TABLES = ['audit_leaves', 'audit_subtrees', 'audit_checkpoints', 'audit_sealing', 'audit_gaps'];
const EVENT = `seq, id, xid, at, recorded_at, actor_type, actor_id, action, subject_type, subject_id,
  subject_version, request_id, entry, salt, state`;

/** Keeps a copy of the events and the log, as they are now. */
export async function keepLog({ query }: Pick<TestDatabase, 'query'>): Promise<void> {
  await query('CREATE SCHEMA kept');
  for (const table of TABLES) await query(`CREATE TABLE kept.${table} AS TABLE ${table}`);
  await query(`CREATE TABLE kept.audit_events AS SELECT ${EVENT} FROM audit_events`);
}

/** Puts everything back as it was kept. */
export async function restoreLog({ query }: Pick<TestDatabase, 'query'>): Promise<void> {
  const tables = TABLES.map((table) => `DELETE FROM ${table}; INSERT INTO ${table} TABLE kept.${table};`);
  await query(`SET session_replication_role = replica;
    DELETE FROM audit_events;
    INSERT INTO audit_events (${EVENT}) OVERRIDING SYSTEM VALUE SELECT ${EVENT} FROM kept.audit_events;
    ${tables.join('\n')}`);
}
