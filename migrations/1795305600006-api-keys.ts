import type { MigrationInterface, QueryRunner } from 'typeorm';
import { guardSubject } from './guards.js';

/** API keys, which are subjects like users and orders; when they were used last stands apart, without version. */
export class ApiKeys1795305600006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE api_keys (
        id          uuid NOT NULL,
        version     integer NOT NULL,
        name        text NOT NULL,
        slot        smallint NOT NULL,
        scopes      text[] NOT NULL,
        secret_hash bytea NOT NULL,
        expires_at  timestamptz(3),
        revoked_at  timestamptz(3),
        created_at  timestamptz(3) NOT NULL,
        updated_at  timestamptz(3) NOT NULL,
        CONSTRAINT api_keys_pkey PRIMARY KEY (id),
        CONSTRAINT api_keys_name_check CHECK (char_length(name) BETWEEN 1 AND 100),
        CONSTRAINT api_keys_slot_check CHECK (slot IN (1, 2)),
        CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) >= 1 AND scopes <@ ARRAY[
          'orders:read', 'orders:write', 'users:read', 'users:write', 'audit:read']),
        CONSTRAINT api_keys_secret_hash_check CHECK (octet_length(secret_hash) = 32),
        CONSTRAINT api_keys_updated_at_check CHECK (updated_at >= created_at)
      )`);
    // Two of a name can be in use, so that one takes over from the other.
    await runner.query(
      `CREATE UNIQUE INDEX api_keys_name_slot_key ON api_keys (name, slot) WHERE revoked_at IS NULL`,
    );
    await guardSubject(runner, 'api_keys');
    await runner.query(`
      CREATE TRIGGER api_keys_stay_revoked BEFORE UPDATE ON api_keys FOR EACH ROW
        WHEN (OLD.revoked_at IS NOT NULL) EXECUTE FUNCTION refuse_change()`);
    await runner.query(`
      CREATE TABLE api_key_uses (
        key_id       uuid NOT NULL,
        last_used_at timestamptz(3) NOT NULL,
        CONSTRAINT api_key_uses_pkey PRIMARY KEY (key_id),
        CONSTRAINT api_key_uses_key_fkey FOREIGN KEY (key_id) REFERENCES api_keys (id)
      )`);
    await runner.query(
      `GRANT SELECT, INSERT, UPDATE (version, revoked_at, updated_at) ON api_keys TO ordo_service`,
    );
    await runner.query(`GRANT SELECT, INSERT, UPDATE (last_used_at) ON api_key_uses TO ordo_service`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE api_key_uses`);
    await runner.query(`DROP TABLE api_keys`);
  }
}
