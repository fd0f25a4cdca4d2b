import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which event a request with an idempotency key caused: the answer to its retries. */
export class IdempotencyKeys1795305600003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE idempotency_keys (
        scope       text COLLATE "C" NOT NULL,
        key         text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        event_id    uuid NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT transaction_timestamp(),
        CONSTRAINT idempotency_keys_pkey PRIMARY KEY (scope, key),
        -- deferred: the key is taken first, before the work that ends in the event
        CONSTRAINT idempotency_keys_event_fkey FOREIGN KEY (event_id)
          REFERENCES audit_events (id) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT idempotency_keys_key_check CHECK (char_length(key) BETWEEN 1 AND 255)
      )`);
    // Rows arrive in the order of time: a block range index finds the old ones and costs a write next to nothing.
    await runner.query(`
      CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys USING brin (created_at)
        WITH (autosummarize = on)`);
    await runner.query(`GRANT SELECT, INSERT, DELETE ON idempotency_keys TO ordo_service`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE idempotency_keys`);
  }
}
