import type { QueryRunner } from 'typeorm';

/**
 * Binds a table of subjects to the audit trail: every version of a row has its event, versions are dense from 1,
 * nothing is deleted. The table has the columns `id` and `version`.
 */
export async function guardSubject(runner: QueryRunner, table: string): Promise<void> {
  await runner.query(`
    ALTER TABLE ${table} ADD CONSTRAINT ${table}_event_fkey FOREIGN KEY (id, version)
      REFERENCES audit_events (subject_id, subject_version) DEFERRABLE INITIALLY DEFERRED`);
  await runner.query(`
    CREATE TRIGGER ${table}_first_version BEFORE INSERT ON ${table} FOR EACH ROW
      WHEN (NEW.version <> 1) EXECUTE FUNCTION refuse_version()`);
  await runner.query(`
    CREATE TRIGGER ${table}_next_version BEFORE UPDATE ON ${table} FOR EACH ROW
      WHEN (NEW.id <> OLD.id OR NEW.version <> OLD.version + 1) EXECUTE FUNCTION refuse_version()`);
  await runner.query(`
    CREATE TRIGGER ${table}_old_version BEFORE UPDATE ON ${table} FOR EACH ROW
      EXECUTE FUNCTION require_event_of_old_version()`);
  await refuse(runner, table, 'DELETE');
}

/** Keeps the rows of a table as they were inserted. */
export async function guardAppendOnly(runner: QueryRunner, table: string): Promise<void> {
  await refuse(runner, table, 'UPDATE OR DELETE');
}

async function refuse(
  runner: QueryRunner,
  table: string,
  changes: 'DELETE' | 'UPDATE OR DELETE',
): Promise<void> {
  await runner.query(`
    CREATE TRIGGER ${table}_no_change BEFORE ${changes} ON ${table} FOR EACH ROW
      EXECUTE FUNCTION refuse_change()`);
  await runner.query(`
    CREATE TRIGGER ${table}_no_truncate BEFORE TRUNCATE ON ${table} FOR EACH STATEMENT
      EXECUTE FUNCTION refuse_change()`);
}
