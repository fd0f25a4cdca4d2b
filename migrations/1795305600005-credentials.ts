import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Passwords and sessions. They have no version: a sign-in is no change of the user. Secrets are kept as hashes only. */
export class Credentials1795305600005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE passwords (
        user_id    uuid NOT NULL,
        hash       text NOT NULL,
        changed_at timestamptz(3) NOT NULL DEFAULT now(),
        CONSTRAINT passwords_pkey PRIMARY KEY (user_id),
        CONSTRAINT passwords_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        CONSTRAINT passwords_hash_check CHECK (hash ~ '^\\$argon2id\\$' AND char_length(hash) <= 255)
      )`);
    await runner.query(`
      CREATE TABLE reset_tokens (
        user_id    uuid NOT NULL,
        token_hash bytea NOT NULL,
        expires_at timestamptz(3) NOT NULL,
        CONSTRAINT reset_tokens_pkey PRIMARY KEY (user_id),
        CONSTRAINT reset_tokens_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        CONSTRAINT reset_tokens_token_hash_key UNIQUE (token_hash),
        CONSTRAINT reset_tokens_token_hash_check CHECK (octet_length(token_hash) = 32)
      )`);
    // No index holds what a refresh changes, so that the row is updated in place (heap-only).
    await runner.query(`
      CREATE TABLE sessions (
        id            uuid NOT NULL,
        user_id       uuid NOT NULL,
        refresh_hash  bytea NOT NULL,
        previous_hash bytea,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        refreshed_at  timestamptz(3) NOT NULL DEFAULT now(),
        expires_at    timestamptz(3) NOT NULL,
        ended_at      timestamptz(3),
        CONSTRAINT sessions_pkey PRIMARY KEY (id),
        CONSTRAINT sessions_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        CONSTRAINT sessions_refresh_hash_check CHECK (octet_length(refresh_hash) = 32),
        CONSTRAINT sessions_previous_hash_check CHECK (octet_length(previous_hash) = 32),
        CONSTRAINT sessions_expires_at_check CHECK (expires_at > created_at)
      ) WITH (fillfactor = 80)`);
    await runner.query(`CREATE INDEX sessions_user_idx ON sessions (user_id, id) WHERE ended_at IS NULL`);
    await runner.query(`CREATE INDEX sessions_expires_at_idx ON sessions (expires_at)`);

    await runner.query(`
      CREATE TRIGGER sessions_stay_ended BEFORE UPDATE ON sessions FOR EACH ROW
        WHEN (OLD.ended_at IS NOT NULL) EXECUTE FUNCTION refuse_change()`);
    // A session lives no longer than the role and the status that it was begun with, whoever changes them.
    await runner.query(`
      CREATE FUNCTION end_sessions() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
      BEGIN
        UPDATE sessions SET ended_at = now() WHERE user_id = NEW.id AND ended_at IS NULL;
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE TRIGGER users_end_sessions AFTER UPDATE ON users FOR EACH ROW
        WHEN (NEW.role <> OLD.role OR NEW.status <> OLD.status) EXECUTE FUNCTION end_sessions()`);
    await runner.query(`
      CREATE FUNCTION end_sessions_of_password() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS $$
      BEGIN
        UPDATE sessions SET ended_at = now() WHERE user_id = NEW.user_id AND ended_at IS NULL;
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE TRIGGER passwords_first_ends_sessions AFTER INSERT ON passwords FOR EACH ROW
        EXECUTE FUNCTION end_sessions_of_password()`);
    // The same password hashed anew keeps its time of change.
    await runner.query(`
      CREATE TRIGGER passwords_end_sessions AFTER UPDATE ON passwords FOR EACH ROW
        WHEN (NEW.changed_at <> OLD.changed_at) EXECUTE FUNCTION end_sessions_of_password()`);

    await runner.query(`GRANT SELECT, INSERT, UPDATE (hash, changed_at) ON passwords TO ordo_service`);
    await runner.query(
      `GRANT SELECT, INSERT, DELETE, UPDATE (token_hash, expires_at) ON reset_tokens TO ordo_service`,
    );
    await runner.query(`
      GRANT SELECT, INSERT, DELETE, UPDATE (refresh_hash, previous_hash, refreshed_at, ended_at)
        ON sessions TO ordo_service`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TRIGGER users_end_sessions ON users`);
    await runner.query(`DROP TABLE sessions`);
    await runner.query(`DROP TABLE reset_tokens`);
    await runner.query(`DROP TABLE passwords`);
    await runner.query(`DROP FUNCTION end_sessions_of_password`);
    await runner.query(`DROP FUNCTION end_sessions`);
  }
}
