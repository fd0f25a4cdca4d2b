import type { MigrationInterface, QueryRunner } from 'typeorm';
import { guardAppendOnly, guardSubject } from './guards.js';

/** Orders with their lines. Amounts are integers in minor units that JSON carries exactly (0 to 2^53 - 1). */
export class Orders1795305600002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE DOMAIN amount AS bigint CONSTRAINT amount_check CHECK (VALUE BETWEEN 0 AND 9007199254740991)`);
    await runner.query(`
      CREATE DOMAIN parts_per_million AS integer
        CONSTRAINT parts_per_million_check CHECK (VALUE BETWEEN 0 AND 1000000)`);

    await runner.query(`
      CREATE TABLE orders (
        id                 uuid NOT NULL,
        version            integer NOT NULL,
        user_id            uuid NOT NULL,
        reference          text,
        currency           text NOT NULL,
        status             text NOT NULL,
        payment_status     text NOT NULL,
        fulfillment_status text NOT NULL,
        subtotal           amount NOT NULL,
        discount           amount NOT NULL,
        tax                amount NOT NULL,
        shipping           amount NOT NULL,
        total              amount NOT NULL,
        paid               amount NOT NULL,
        refunded           amount NOT NULL,
        note               text,
        metadata           jsonb NOT NULL,
        placed_at          timestamptz(3) NOT NULL,
        created_at         timestamptz(3) NOT NULL,
        updated_at         timestamptz(3) NOT NULL,
        CONSTRAINT orders_pkey PRIMARY KEY (id),
        CONSTRAINT orders_user_fkey FOREIGN KEY (user_id) REFERENCES users (id),
        -- reference first: the same index answers a search by reference alone
        CONSTRAINT orders_reference_key UNIQUE (reference, user_id),
        CONSTRAINT orders_reference_check CHECK (char_length(reference) BETWEEN 1 AND 100),
        CONSTRAINT orders_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT orders_status_check
          CHECK (status IN ('placed', 'confirmed', 'on_hold', 'completed', 'cancelled')),
        CONSTRAINT orders_payment_status_check CHECK (payment_status IN
          ('not_required', 'unpaid', 'partially_paid', 'paid', 'overpaid', 'partially_refunded', 'refunded')),
        CONSTRAINT orders_fulfillment_status_check
          CHECK (fulfillment_status IN ('unfulfilled', 'partially_fulfilled', 'fulfilled')),
        CONSTRAINT orders_total_check CHECK (total = subtotal - discount + tax + shipping),
        CONSTRAINT orders_refunded_check CHECK (refunded <= paid),
        CONSTRAINT orders_note_check CHECK (char_length(note) <= 2000),
        CONSTRAINT orders_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
        CONSTRAINT orders_updated_at_check CHECK (updated_at >= created_at)
      )`);
    await runner.query(`CREATE INDEX orders_user_idx ON orders (user_id, id)`);
    await guardSubject(runner, 'orders');

    await runner.query(`
      CREATE TABLE order_lines (
        order_id      uuid NOT NULL,
        order_version integer NOT NULL,
        position      integer NOT NULL,
        sku           text NOT NULL,
        name          text NOT NULL,
        quantity      integer NOT NULL,
        unit_price    amount NOT NULL,
        discount_ppm  parts_per_million NOT NULL,
        tax_ppm       parts_per_million NOT NULL,
        subtotal      amount NOT NULL,
        discount      amount NOT NULL,
        tax           amount NOT NULL,
        total         amount NOT NULL,
        CONSTRAINT order_lines_pkey PRIMARY KEY (order_id, position),
        CONSTRAINT order_lines_order_fkey FOREIGN KEY (order_id) REFERENCES orders (id),
        CONSTRAINT order_lines_event_fkey FOREIGN KEY (order_id, order_version)
          REFERENCES audit_events (subject_id, subject_version) DEFERRABLE INITIALLY DEFERRED,
        -- lines are made by the placement and never change
        CONSTRAINT order_lines_order_version_check CHECK (order_version = 1),
        CONSTRAINT order_lines_position_check CHECK (position BETWEEN 1 AND 200),
        CONSTRAINT order_lines_sku_check CHECK (char_length(sku) BETWEEN 1 AND 64),
        CONSTRAINT order_lines_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
        CONSTRAINT order_lines_quantity_check CHECK (quantity BETWEEN 1 AND 1000000),
        -- in numeric: the product of two in-range factors may not fit a bigint
        CONSTRAINT order_lines_subtotal_check CHECK (subtotal = quantity::numeric * unit_price),
        CONSTRAINT order_lines_total_check CHECK (total = subtotal - discount + tax)
      )`);
    await runner.query(`CREATE INDEX order_lines_sku_idx ON order_lines (sku, order_id)`);

    // The key to the event alone would let a row join a version of long ago. A child is part of the change that
    // this very transaction makes to its order. (After a savepoint xmin is the subtransaction's: refused as well.)
    await runner.query(`
      CREATE FUNCTION require_change_of_order() RETURNS trigger LANGUAGE plpgsql
        SET search_path = public, pg_temp AS $$
      BEGIN
        IF EXISTS (
          SELECT FROM inserted
            LEFT JOIN orders ON orders.id = inserted.order_id
                            AND orders.version = inserted.order_version
                            AND orders.xmin = pg_current_xact_id()::xid
            WHERE orders.id IS NULL
        ) THEN
          RAISE EXCEPTION '% belongs to no change of its order', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
      END $$`);
    await runner.query(`
      CREATE TRIGGER order_lines_change_of_order AFTER INSERT ON order_lines
        REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION require_change_of_order()`);
    await guardAppendOnly(runner, 'order_lines');

    await runner.query(`
      GRANT SELECT, INSERT, UPDATE (version, status, payment_status, fulfillment_status, paid, refunded,
                                    note, metadata, updated_at)
        ON orders TO ordo_service`);
    await runner.query(`GRANT SELECT, INSERT ON order_lines TO ordo_service`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE order_lines`);
    await runner.query(`DROP TABLE orders`);
    await runner.query(`DROP FUNCTION require_change_of_order`);
    await runner.query(`DROP DOMAIN parts_per_million`);
    await runner.query(`DROP DOMAIN amount`);
  }
}
