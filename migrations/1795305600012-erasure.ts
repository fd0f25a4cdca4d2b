import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What holds personal data: the planner keeps samples of a column's values, for as long as nobody samples again. */
const PERSONAL = [
  ['users', 'name'],
  ['users', 'email'],
  ['passwords', 'hash'],
  ['audit_events', 'state'],
] as const;

/**
 * Erasing a user: whoever makes the row `erased` also removes the states of all versions before, and the credentials.
 * The trigger on events lets exactly that through.
 */
export class Erasure1795305600012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Nobody else gets an address of this domain, or they could keep the user of that id from being erased.
    await runner.query(`
      ALTER TABLE users ADD CONSTRAINT users_erased_check CHECK (
        CASE status
          WHEN 'erased' THEN name = 'Erased user' AND email = id || '@erased.invalid'
          ELSE lower(email) NOT LIKE '%@erased.invalid'
        END)`);
    await runner.query(`
      CREATE TRIGGER users_stay_erased BEFORE UPDATE ON users FOR EACH ROW
        WHEN (OLD.status = 'erased') EXECUTE FUNCTION refuse_change()`);

    // Judges facts alone: who asks, and what a setting says, can be made up by whoever holds the owner's login.
    await runner.query(`
      CREATE FUNCTION refuse_change_but_erasure() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS $$
      DECLARE
        erased audit_events := OLD;
      BEGIN
        erased.salt := NULL;
        erased.state := NULL;
        -- follows from the entry, and is not computed yet in NEW
        erased.leaf_hash := NULL;
        IF NEW IS DISTINCT FROM erased OR NOT EXISTS (
          SELECT FROM users
            WHERE id = OLD.subject_id AND OLD.subject_type = 'user'
              AND status = 'erased' AND version > OLD.subject_version
        ) THEN
          RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
      END $$`);
    await runner.query(`
      CREATE OR REPLACE TRIGGER audit_events_no_change BEFORE DELETE ON audit_events FOR EACH ROW
        EXECUTE FUNCTION refuse_change()`);
    await runner.query(`
      CREATE TRIGGER audit_events_erasure_alone BEFORE UPDATE ON audit_events FOR EACH ROW
        EXECUTE FUNCTION refuse_change_but_erasure()`);

    // With the rights of the owner, who alone may update events and delete passwords; as a trigger it takes no argument
    // and is called by nobody.
    await runner.query(`
      CREATE FUNCTION erase_user() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path = public, pg_temp AS $$
      BEGIN
        UPDATE audit_events SET salt = NULL, state = NULL
          WHERE subject_id = NEW.id AND subject_type = 'user' AND subject_version < NEW.version;
        DELETE FROM passwords WHERE user_id = NEW.id;
        DELETE FROM reset_tokens WHERE user_id = NEW.id;
        DELETE FROM sessions WHERE user_id = NEW.id;
        DELETE FROM idempotency_keys WHERE scope = NEW.id::text;
        RETURN NULL;
      END $$`);
    await runner.query(`REVOKE EXECUTE ON FUNCTION erase_user FROM PUBLIC`);
    await runner.query(`
      CREATE TRIGGER users_erase AFTER UPDATE ON users FOR EACH ROW
        WHEN (NEW.status = 'erased') EXECUTE FUNCTION erase_user()`);

    // The lock waits for an erasure under way, which would not see the row that is about to be inserted.
    await runner.query(`
      CREATE FUNCTION require_user_not_erased() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS $$
      DECLARE
        status_of_user text;
      BEGIN
        SELECT status INTO status_of_user FROM users WHERE id = NEW.user_id FOR SHARE;
        IF status_of_user = 'erased' THEN
          RAISE EXCEPTION 'no credentials for an erased user'
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_erased_check';
        END IF;
        RETURN NEW;
      END $$`);
    for (const table of ['passwords', 'reset_tokens', 'sessions']) {
      await runner.query(`
        CREATE TRIGGER ${table}_of_a_user BEFORE INSERT ON ${table} FOR EACH ROW
          EXECUTE FUNCTION require_user_not_erased()`);
    }

    for (const [table, column] of PERSONAL) {
      await runner.query(`ALTER TABLE ${table} ALTER ${column} SET STATISTICS 0`);
      await runner.query(`SELECT pg_clear_attribute_stats('public', '${table}', '${column}', false)`);
    }
    await runner.query(`ALTER INDEX users_email_key ALTER COLUMN 1 SET STATISTICS 0`);
    await runner.query(`SELECT pg_clear_attribute_stats('public', 'users_email_key', 'lower', false)`);

    // Also of those that have ended: an erasure and an export look for all of a user.
    await runner.query(`CREATE INDEX sessions_owner_idx ON sessions (user_id, id)`);
  }

  /** What is erased stays so; events are kept from then on as before. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX sessions_owner_idx`);
    await runner.query(`ALTER INDEX users_email_key ALTER COLUMN 1 SET STATISTICS DEFAULT`);
    for (const [table, column] of PERSONAL) {
      await runner.query(`ALTER TABLE ${table} ALTER ${column} SET STATISTICS DEFAULT`);
    }
    for (const table of ['passwords', 'reset_tokens', 'sessions']) {
      await runner.query(`DROP TRIGGER ${table}_of_a_user ON ${table}`);
    }
    await runner.query(`DROP FUNCTION require_user_not_erased`);
    await runner.query(`DROP TRIGGER users_erase ON users`);
    await runner.query(`DROP FUNCTION erase_user`);
    await runner.query(`
      CREATE OR REPLACE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW
        EXECUTE FUNCTION refuse_change()`);
    await runner.query(`DROP TRIGGER audit_events_erasure_alone ON audit_events`);
    await runner.query(`DROP FUNCTION refuse_change_but_erasure`);
    await runner.query(`DROP TRIGGER users_stay_erased ON users`);
    await runner.query(`ALTER TABLE users DROP CONSTRAINT users_erased_check`);
  }
}
