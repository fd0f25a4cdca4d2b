import type { MigrationInterface, QueryRunner } from 'typeorm';
import { guardAppendOnly } from './guards.js';

/** The roles, the append-only audit trail, and the rules that bind every change to its event. */
export class AuditEvents1795305600000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // Roles belong to the whole server: another database on it may have made them already.
    for (const role of ['ordo_service', 'ordo_sealer']) {
      await runner.query(`
        DO $$ BEGIN
          CREATE ROLE ${role} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$`);
    }

    await runner.query(`
      CREATE TABLE audit_events (
        seq             bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
        id              uuid NOT NULL,
        xid             xid8 NOT NULL DEFAULT pg_current_xact_id(),
        at              timestamptz(3) NOT NULL,
        recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
        actor_type      text NOT NULL,
        actor_id        uuid,
        action          text NOT NULL,
        subject_type    text NOT NULL,
        subject_id      uuid NOT NULL,
        subject_version integer NOT NULL,
        request_id      uuid NOT NULL,
        entry           bytea NOT NULL,
        leaf_hash       bytea NOT NULL GENERATED ALWAYS AS (sha256('\\x00'::bytea || entry)) STORED,
        salt            bytea,
        state           bytea,
        CONSTRAINT audit_events_pkey PRIMARY KEY (seq),
        CONSTRAINT audit_events_id_key UNIQUE (id),
        CONSTRAINT audit_events_subject_key UNIQUE (subject_id, subject_version),
        CONSTRAINT audit_events_actor_type_check CHECK (actor_type IN ('user', 'api-key', 'system', 'anonymous')),
        CONSTRAINT audit_events_subject_type_check CHECK (subject_type = split_part(action, '.', 1)),
        CONSTRAINT audit_events_subject_version_check CHECK (subject_version >= 1),
        -- tlog-tiles frames an entry with a length of two bytes
        CONSTRAINT audit_events_entry_check CHECK (octet_length(entry) <= 65535)
      )`);

    await runner.query(`
      CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION '% of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
      END $$`);
    await runner.query(`
      CREATE FUNCTION refuse_version() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION '% of % does not take the next version', TG_OP, TG_TABLE_NAME
          USING ERRCODE = 'integrity_constraint_violation';
      END $$`);
    // The deferred key of a subject to its event looks at the row as it is at COMMIT. Of two updates in one
    // transaction it would see the second only; so an update starts from a version that has its event.
    // (With a fixed path, so that nobody's temporary table `audit_events` stands in.)
    await runner.query(`
      CREATE FUNCTION require_event_of_old_version() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS $$
      BEGIN
        IF NOT EXISTS (
          SELECT FROM audit_events WHERE subject_id = OLD.id AND subject_version = OLD.version
        ) THEN
          RAISE EXCEPTION 'version % of % has no event', OLD.version, TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
      END $$`);

    await guardAppendOnly(runner, 'audit_events');

    await runner.query(`
      GRANT SELECT, INSERT (id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
                            request_id, entry, salt, state)
        ON audit_events TO ordo_service`);
    await runner.query(`GRANT SELECT ON migrations TO ordo_service`);
  }

  /** The roles stay: other databases of the server may use them. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`REVOKE SELECT ON migrations FROM ordo_service`);
    await runner.query(`DROP TABLE audit_events`);
    await runner.query(`DROP FUNCTION require_event_of_old_version`);
    await runner.query(`DROP FUNCTION refuse_version`);
    await runner.query(`DROP FUNCTION refuse_change`);
  }
}
