import type { MigrationInterface, QueryRunner } from 'typeorm';
import { guardAppendOnly } from './guards.js';

/** Holds, the ledger of payments and refunds, and fulfillments. What one command adds to an order has that version. */
export class OrderLifeCycle1795305600008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE orders
        ADD held_from text,
        ADD hold_reason text,
        ADD CONSTRAINT orders_held_from_check CHECK (held_from IN ('placed', 'confirmed')),
        ADD CONSTRAINT orders_hold_check CHECK (
          (status = 'on_hold') = (held_from IS NOT NULL) AND (held_from IS NULL) = (hold_reason IS NULL)),
        ADD CONSTRAINT orders_hold_reason_check CHECK (char_length(hold_reason) BETWEEN 1 AND 500)`);
    await runner.query(`
      CREATE FUNCTION require_order_transition() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE allowed boolean;
      BEGIN
        allowed := CASE OLD.status
          WHEN 'placed' THEN NEW.status IN ('confirmed', 'on_hold', 'cancelled')
          WHEN 'confirmed' THEN NEW.status IN ('on_hold', 'completed', 'cancelled')
          WHEN 'on_hold' THEN NEW.status IN (OLD.held_from, 'cancelled')
          ELSE false
        END;
        IF allowed IS NOT TRUE THEN
          RAISE EXCEPTION 'an order does not go from % to %', OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_transition_check';
        END IF;
        IF (NEW.status = 'on_hold') <> (NEW.held_from IS NOT NULL) OR NEW.held_from <> OLD.status THEN
          RAISE EXCEPTION 'a hold remembers where the order was'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_held_from_check';
        END IF;
        RETURN NEW;
      END $$`);
    await runner.query(`
      CREATE TRIGGER orders_transition BEFORE UPDATE ON orders FOR EACH ROW
        WHEN (NEW.status <> OLD.status OR NEW.held_from IS DISTINCT FROM OLD.held_from)
        EXECUTE FUNCTION require_order_transition()`);

    await runner.query(`
      CREATE TABLE order_ledger (
        order_id           uuid NOT NULL,
        order_version      integer NOT NULL,
        kind               text NOT NULL,
        amount             amount NOT NULL,
        provider           text,
        provider_reference text,
        method             text,
        reason             text,
        at                 timestamptz(3) NOT NULL,
        CONSTRAINT order_ledger_pkey PRIMARY KEY (order_id, order_version),
        CONSTRAINT order_ledger_order_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
        CONSTRAINT order_ledger_event_fkey FOREIGN KEY (order_id, order_version)
          REFERENCES audit_events (subject_id, subject_version) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT order_ledger_kind_check CHECK (CASE kind
          WHEN 'payment' THEN amount >= 1 AND provider IS NOT NULL AND provider_reference IS NOT NULL AND reason IS NULL
          WHEN 'refund' THEN reason IS NOT NULL AND num_nonnulls(provider, provider_reference, method) = 0
          ELSE false END),
        CONSTRAINT order_ledger_provider_check CHECK (char_length(provider) BETWEEN 1 AND 100),
        CONSTRAINT order_ledger_provider_reference_check CHECK (char_length(provider_reference) BETWEEN 1 AND 200),
        CONSTRAINT order_ledger_method_check CHECK (char_length(method) BETWEEN 1 AND 100),
        CONSTRAINT order_ledger_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
        -- a capture of the provider pays one order, once
        CONSTRAINT order_ledger_provider_reference_key UNIQUE (provider, provider_reference)
      )`);
    await runner.query(`
      CREATE TABLE order_refund_lines (
        order_id      uuid NOT NULL,
        order_version integer NOT NULL,
        position      integer NOT NULL,
        quantity      integer NOT NULL,
        amount        amount NOT NULL,
        CONSTRAINT order_refund_lines_pkey PRIMARY KEY (order_id, order_version, position),
        CONSTRAINT order_refund_lines_ledger_fkey FOREIGN KEY (order_id, order_version)
          REFERENCES order_ledger (order_id, order_version),
        CONSTRAINT order_refund_lines_line_fkey FOREIGN KEY (order_id, position)
          REFERENCES order_lines (order_id, position),
        CONSTRAINT order_refund_lines_quantity_check CHECK (quantity >= 1)
      )`);
    await runner.query(`
      CREATE TABLE order_fulfillments (
        order_id        uuid NOT NULL,
        order_version   integer NOT NULL,
        carrier         text,
        tracking_number text,
        at              timestamptz(3) NOT NULL,
        CONSTRAINT order_fulfillments_pkey PRIMARY KEY (order_id, order_version),
        CONSTRAINT order_fulfillments_order_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
        CONSTRAINT order_fulfillments_event_fkey FOREIGN KEY (order_id, order_version)
          REFERENCES audit_events (subject_id, subject_version) DEFERRABLE INITIALLY DEFERRED,
        CONSTRAINT order_fulfillments_carrier_check CHECK (char_length(carrier) BETWEEN 1 AND 100),
        CONSTRAINT order_fulfillments_tracking_number_check CHECK (char_length(tracking_number) BETWEEN 1 AND 200)
      )`);
    await runner.query(`
      CREATE TABLE order_fulfillment_lines (
        order_id      uuid NOT NULL,
        order_version integer NOT NULL,
        position      integer NOT NULL,
        quantity      integer NOT NULL,
        CONSTRAINT order_fulfillment_lines_pkey PRIMARY KEY (order_id, order_version, position),
        CONSTRAINT order_fulfillment_lines_fulfillment_fkey FOREIGN KEY (order_id, order_version)
          REFERENCES order_fulfillments (order_id, order_version),
        CONSTRAINT order_fulfillment_lines_line_fkey FOREIGN KEY (order_id, position)
          REFERENCES order_lines (order_id, position),
        CONSTRAINT order_fulfillment_lines_quantity_check CHECK (quantity >= 1)
      )`);

    // Whoever adds units of a line holds the lock on its order (require_change_of_order), so the sums stand still.
    await runner.query(`
      CREATE FUNCTION require_units_of_line() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS $$
      DECLARE exceeds boolean;
      BEGIN
        EXECUTE format(
          'SELECT EXISTS (
             SELECT FROM order_lines AS line
               WHERE (line.order_id, line.position) = ($1, $2)
                 AND line.quantity < (SELECT sum(quantity) FROM %I AS units
                                       WHERE (units.order_id, units.position) = ($1, $2)))', TG_TABLE_NAME)
          INTO exceeds USING NEW.order_id, NEW.position;
        IF exceeds THEN
          RAISE EXCEPTION 'more units than the line has'
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_TABLE_NAME || '_units_check';
        END IF;
        RETURN NULL;
      END $$`);
    for (const table of ['order_refund_lines', 'order_fulfillment_lines']) {
      await runner.query(`
        CREATE TRIGGER ${table}_units AFTER INSERT ON ${table} FOR EACH ROW
          EXECUTE FUNCTION require_units_of_line()`);
    }
    for (const table of [
      'order_ledger',
      'order_refund_lines',
      'order_fulfillments',
      'order_fulfillment_lines',
    ]) {
      await runner.query(`
        CREATE TRIGGER ${table}_change_of_order AFTER INSERT ON ${table}
          REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION require_change_of_order()`);
      await guardAppendOnly(runner, table);
      await runner.query(`GRANT SELECT, INSERT ON ${table} TO ordo_service`);
    }
    await runner.query(`GRANT UPDATE (held_from, hold_reason) ON orders TO ordo_service`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP TABLE order_fulfillment_lines, order_fulfillments, order_refund_lines, order_ledger`,
    );
    await runner.query(`DROP FUNCTION require_units_of_line`);
    await runner.query(`DROP TRIGGER orders_transition ON orders`);
    await runner.query(`DROP FUNCTION require_order_transition`);
    await runner.query(`REVOKE UPDATE (held_from, hold_reason) ON orders FROM ordo_service`);
    await runner.query(`ALTER TABLE orders DROP hold_reason, DROP held_from`);
  }
}
