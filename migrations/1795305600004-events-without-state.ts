import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Events of what changes no subject, such as a failed sign-in: without version, salt and state, perhaps without an id. */
export class EventsWithoutState1795305600004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE audit_events
        ALTER subject_id DROP NOT NULL,
        ALTER subject_version DROP NOT NULL,
        ADD CONSTRAINT audit_events_subject_check
          CHECK (subject_id IS NOT NULL OR subject_version IS NULL),
        ADD CONSTRAINT audit_events_state_check
          CHECK (subject_version IS NOT NULL OR (salt IS NULL AND state IS NULL))`);
  }

  /** Fails once there is such an event: events are never deleted. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE audit_events
        DROP CONSTRAINT audit_events_state_check,
        DROP CONSTRAINT audit_events_subject_check,
        ALTER subject_version SET NOT NULL,
        ALTER subject_id SET NOT NULL`);
  }
}
