import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What the lists are searched by (docs/adr/0015). Most are partial: they leave out what almost every row has, above all
 * what a row is born with, so that placing an order or registering a user writes nothing into them.
 *
 * IF NOT EXISTS: on a large table the index is built before, with CONCURRENTLY, as CONTRIBUTING tells.
 */
export class ListIndexes1795305600009 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX IF NOT EXISTS orders_reference_idx ON orders (reference NULLS FIRST, id)
        WHERE reference IS NOT NULL`);
    await runner.query(`
      CREATE INDEX IF NOT EXISTS orders_status_idx ON orders (status, id) WHERE status NOT IN ('completed')`);
    await runner.query(`
      CREATE INDEX IF NOT EXISTS orders_payment_status_idx ON orders (payment_status, id)
        WHERE payment_status NOT IN ('unpaid', 'paid')`);
    await runner.query(`
      CREATE INDEX IF NOT EXISTS orders_fulfillment_status_idx ON orders (fulfillment_status, id)
        WHERE fulfillment_status NOT IN ('unfulfilled', 'fulfilled')`);
    // Orders that were placed at another time than their id tells: imported ones.
    await runner.query(`
      CREATE INDEX IF NOT EXISTS orders_displaced_idx ON orders (id)
        WHERE (placed_at - uuid_extract_timestamp(id) BETWEEN interval '-1 s' AND interval '10 s') IS NOT TRUE`);

    await runner.query(`
      CREATE INDEX IF NOT EXISTS users_role_idx ON users (role, id) WHERE role NOT IN ('customer')`);
    await runner.query(`
      CREATE INDEX IF NOT EXISTS users_status_idx ON users (status, id) WHERE status NOT IN ('active')`);
    // The last admin is found by role.
    await runner.query(`DROP INDEX users_active_admin_idx`);

    // The event of version 1 is found by its unique key.
    await runner.query(`
      CREATE INDEX IF NOT EXISTS audit_events_subject_idx ON audit_events (subject_id NULLS FIRST, id)
        WHERE subject_version IS DISTINCT FROM 1`);
    await runner.query(`CREATE INDEX IF NOT EXISTS audit_events_actor_idx ON audit_events (actor_id, id)`);
    await runner.query(`
      CREATE INDEX IF NOT EXISTS audit_events_action_idx ON audit_events (action, id)
        WHERE action NOT IN ('order.placed')`);
    await runner.query(`
      CREATE INDEX IF NOT EXISTS audit_events_subject_type_idx ON audit_events (subject_type, id)
        WHERE subject_type NOT IN ('order')`);
    // Events of a change that had to wait, or was made while a clock was wrong.
    await runner.query(`
      CREATE INDEX IF NOT EXISTS audit_events_displaced_idx ON audit_events (id)
        WHERE (at - uuid_extract_timestamp(id) BETWEEN interval '-1 s' AND interval '10 s') IS NOT TRUE`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX audit_events_displaced_idx, audit_events_subject_type_idx, audit_events_action_idx,
                 audit_events_actor_idx, audit_events_subject_idx`);
    await runner.query(
      `CREATE INDEX users_active_admin_idx ON users (id) WHERE role = 'admin' AND status = 'active'`,
    );
    await runner.query(`DROP INDEX users_status_idx, users_role_idx`);
    await runner.query(`
      DROP INDEX orders_displaced_idx, orders_fulfillment_status_idx, orders_payment_status_idx, orders_status_idx,
                 orders_reference_idx`);
  }
}
