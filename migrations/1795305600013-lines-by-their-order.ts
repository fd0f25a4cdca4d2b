import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Lines no longer refer to the event of their order's placement themselves: each line costs a placement that look. It
 * follows from what stays. A line is stored by the transaction that writes its order in the line's version
 * (`order_lines_change_of_order`), and no version of an order is committed without its event (`orders_event_fkey`, and
 * `orders_old_version` for one that the same transaction replaces).
 */
export class LinesByTheirOrder1795305600013 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE order_lines DROP CONSTRAINT order_lines_event_fkey`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE order_lines ADD CONSTRAINT order_lines_event_fkey FOREIGN KEY (order_id, order_version)
        REFERENCES audit_events (subject_id, subject_version) DEFERRABLE INITIALLY DEFERRED`);
  }
}
