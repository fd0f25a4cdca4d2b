import type { MigrationInterface, QueryRunner } from 'typeorm';
import { guardAppendOnly } from './guards.js';

/** The Merkle log over the events: its leaves, the hashes of its full tiles, and the checkpoints that were published. */
export class AuditLog1795305600011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // A transaction has its number before it takes a number of an event, so that whoever is numbered later can tell
    // when all holders of earlier sequence numbers are over. Defaults are computed after this trigger, `seq` before `xid`.
    // (Creating it waits for the transactions that have inserted without it.)
    await runner.query(`
      CREATE FUNCTION take_transaction_number() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_catalog.pg_current_xact_id();
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE TRIGGER audit_events_transaction_number BEFORE INSERT ON audit_events FOR EACH STATEMENT
        EXECUTE FUNCTION take_transaction_number()`);
    // As far as numbers of JavaScript are exact.
    await runner.query(`ALTER TABLE audit_events ALTER seq SET MAXVALUE 9007199254740991`);

    await runner.query(`
      CREATE TABLE audit_leaves (
        leaf_index bigint NOT NULL,
        event_seq  bigint NOT NULL,
        hash       bytea NOT NULL,
        CONSTRAINT audit_leaves_pkey PRIMARY KEY (leaf_index),
        CONSTRAINT audit_leaves_event_seq_key UNIQUE (event_seq),
        CONSTRAINT audit_leaves_event_seq_fkey FOREIGN KEY (event_seq) REFERENCES audit_events (seq),
        CONSTRAINT audit_leaves_leaf_index_check CHECK (leaf_index >= 0),
        CONSTRAINT audit_leaves_hash_check CHECK (octet_length(hash) = 32)
      )`);
    // Row (1, n) is the root over leaves 256n to 256n + 255, row (2, n) over as many roots of level 1, and so on.
    await runner.query(`
      CREATE TABLE audit_subtrees (
        level    smallint NOT NULL,
        position bigint NOT NULL,
        hash     bytea NOT NULL,
        CONSTRAINT audit_subtrees_pkey PRIMARY KEY (level, position),
        CONSTRAINT audit_subtrees_level_check CHECK (level >= 1),
        CONSTRAINT audit_subtrees_position_check CHECK (position >= 0),
        CONSTRAINT audit_subtrees_hash_check CHECK (octet_length(hash) = 32)
      )`);
    // Sequence numbers that had no visible event when later ones were sealed. Transactions numbered \`horizon\` or later
    // hold none of them.
    await runner.query(`
      CREATE TABLE audit_gaps (
        first_seq bigint NOT NULL,
        last_seq  bigint NOT NULL,
        horizon   xid8 NOT NULL,
        CONSTRAINT audit_gaps_pkey PRIMARY KEY (first_seq),
        CONSTRAINT audit_gaps_range_check CHECK (first_seq <= last_seq)
      )`);
    // Every event up to \`last_seq\` has its leaf or lies in a gap.
    await runner.query(`
      CREATE TABLE audit_sealing (
        singleton boolean NOT NULL DEFAULT true,
        last_seq  bigint NOT NULL,
        CONSTRAINT audit_sealing_pkey PRIMARY KEY (singleton),
        CONSTRAINT audit_sealing_singleton_check CHECK (singleton)
      )`);
    await runner.query(`INSERT INTO audit_sealing (last_seq) VALUES (0)`);
    await runner.query(`
      CREATE TABLE audit_checkpoints (
        origin     text NOT NULL,
        size       bigint NOT NULL,
        root       bytea NOT NULL,
        note       text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT audit_checkpoints_pkey PRIMARY KEY (origin, size),
        CONSTRAINT audit_checkpoints_size_check CHECK (size >= 0),
        CONSTRAINT audit_checkpoints_root_check CHECK (octet_length(root) = 32)
      )`);

    const kept = ['audit_leaves', 'audit_subtrees', 'audit_checkpoints'];
    for (const table of kept) await guardAppendOnly(runner, table);
    await runner.query(`GRANT SELECT (seq, leaf_hash) ON audit_events TO ordo_sealer`);
    await runner.query(`GRANT SELECT, INSERT ON audit_leaves, audit_subtrees TO ordo_sealer`);
    await runner.query(`GRANT SELECT, INSERT (origin, size, root, note) ON audit_checkpoints TO ordo_sealer`);
    await runner.query(`GRANT SELECT, INSERT, DELETE ON audit_gaps TO ordo_sealer`);
    await runner.query(`GRANT SELECT, UPDATE (last_seq) ON audit_sealing TO ordo_sealer`);
    await runner.query(
      `GRANT SELECT ON ${[...kept, 'audit_gaps', 'audit_sealing'].join(', ')} TO ordo_service`,
    );
  }

  /** Forgets the log; the events stay. A log that is built anew from them may order them otherwise: it needs another origin. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`REVOKE SELECT (seq, leaf_hash) ON audit_events FROM ordo_sealer`);
    await runner.query(`DROP TABLE audit_checkpoints`);
    await runner.query(`DROP TABLE audit_sealing`);
    await runner.query(`DROP TABLE audit_gaps`);
    await runner.query(`DROP TABLE audit_subtrees`);
    await runner.query(`DROP TABLE audit_leaves`);
    await runner.query(`ALTER TABLE audit_events ALTER seq SET NO MAXVALUE`);
    await runner.query(`DROP TRIGGER audit_events_transaction_number ON audit_events`);
    await runner.query(`DROP FUNCTION take_transaction_number`);
  }
}
