import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where there is an active admin, there is one for ever: also when two of them step down at once. */
export class LastAdmin1795305600007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX users_active_admin_idx ON users (id) WHERE role = 'admin' AND status = 'active'`);
    // The lock lets one such change through at a time; the query after it sees what the one before has committed, which
    // an older snapshot would not.
    await runner.query(`
      CREATE FUNCTION keep_an_admin() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
      BEGIN
        IF current_setting('transaction_isolation') <> 'read committed' THEN
          RAISE EXCEPTION 'admins step down in READ COMMITTED transactions only'
            USING ERRCODE = 'invalid_transaction_state';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('ordo admins', 0));
        IF NOT EXISTS (SELECT FROM users WHERE role = 'admin' AND status = 'active' AND id <> OLD.id) THEN
          RAISE EXCEPTION 'the last admin' USING ERRCODE = 'check_violation', CONSTRAINT = 'users_last_admin_check';
        END IF;
        RETURN NEW;
      END $$`);
    await runner.query(`
      CREATE TRIGGER users_last_admin BEFORE UPDATE ON users FOR EACH ROW
        WHEN (OLD.role = 'admin' AND OLD.status = 'active' AND (NEW.role <> 'admin' OR NEW.status <> 'active'))
        EXECUTE FUNCTION keep_an_admin()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER users_last_admin ON users`);
    await runner.query(`DROP FUNCTION keep_an_admin`);
    await runner.query(`DROP INDEX users_active_admin_idx`);
  }
}
