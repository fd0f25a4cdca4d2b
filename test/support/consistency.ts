import { expect } from '@jest/globals';
import type { TestDatabase } from './database.js';

interface Differences extends Record<string, unknown> {
  subject: string;
  difference: string;
}

/**
 * What must hold whatever happened: every subject has as many events as its version says, dense from 1, and its row
 * equals the state of the newest one; each event's columns equal its entry. Compared in SQL, member by member, apart from the service's own code.
 */
export async function expectConsistent(database: TestDatabase): Promise<void> {
  const differences = await database.query<Differences>(`
    WITH subjects AS (
      SELECT 'user' AS type, id, version, jsonb_build_object(
               'id', id, 'version', version, 'name', name, 'email', email, 'role', role, 'status', status,
               'createdAt', created_at, 'updatedAt', updated_at) AS state
        FROM users
      UNION ALL
      SELECT 'order', id, version, jsonb_build_object(
               'id', id, 'version', version, 'userId', user_id, 'reference', reference, 'currency', currency,
               'status', status, 'hold', CASE WHEN held_from IS NOT NULL
                 THEN jsonb_build_object('from', held_from, 'reason', hold_reason) END,
               'paymentStatus', payment_status, 'fulfillmentStatus', fulfillment_status,
               'subtotal', subtotal, 'discount', discount, 'tax', tax, 'shipping', shipping, 'total', total,
               'paid', paid, 'refunded', refunded, 'note', note, 'metadata', metadata,
               'placedAt', placed_at, 'createdAt', created_at, 'updatedAt', updated_at,
               'lines', (SELECT jsonb_agg(jsonb_build_object(
                   'position', position, 'sku', sku, 'name', name, 'quantity', quantity, 'unitPrice', unit_price,
                   'discountPpm', discount_ppm, 'taxPpm', tax_ppm, 'subtotal', lines.subtotal,
                   'discount', lines.discount, 'tax', lines.tax, 'total', lines.total, 
                   'fulfilled', (SELECT coalesce(sum(units.quantity), 0) FROM order_fulfillment_lines AS units
                                  WHERE (units.order_id, units.position) = (lines.order_id, lines.position)),
                   'refunded', (SELECT coalesce(sum(units.quantity), 0) FROM order_refund_lines AS units
                                 WHERE (units.order_id, units.position) = (lines.order_id, lines.position)))
                   ORDER BY position) FROM order_lines AS lines WHERE order_id = orders.id),
               'payments', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'version', order_version, 'at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'amount', amount,
                   'provider', provider, 'providerReference', provider_reference, 'method', method)
                   ORDER BY order_version), '[]') FROM order_ledger WHERE order_id = orders.id AND kind = 'payment'),
               'refunds', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'version', order_version, 'at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'amount', amount,
                   'reason', reason, 'lines', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                       'position', position, 'quantity', quantity, 'amount', units.amount) ORDER BY position), '[]')
                     FROM order_refund_lines AS units
                    WHERE (units.order_id, units.order_version) = (ledger.order_id, ledger.order_version)))
                   ORDER BY order_version), '[]') FROM order_ledger AS ledger
                 WHERE order_id = orders.id AND kind = 'refund'),
               'fulfillments', (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'version', order_version, 'at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                   'carrier', carrier, 'trackingNumber', tracking_number,
                   'lines', (SELECT jsonb_agg(jsonb_build_object('position', position, 'quantity', quantity)
                                              ORDER BY position)
                     FROM order_fulfillment_lines AS units
                    WHERE (units.order_id, units.order_version) = (sent.order_id, sent.order_version)))
                   ORDER BY order_version), '[]') FROM order_fulfillments AS sent WHERE order_id = orders.id))
        FROM orders
      UNION ALL
      SELECT 'api-key', id, version, jsonb_build_object(
               'id', id, 'version', version, 'name', name, 'scopes', scopes, 'expiresAt', expires_at,
               'revokedAt', revoked_at, 'createdAt', created_at, 'updatedAt', updated_at)
        FROM api_keys
    ), events AS (
      SELECT subject_type AS type, subject_id AS id, count(*) AS number, max(subject_version) AS newest
        FROM audit_events WHERE subject_version IS NOT NULL GROUP BY subject_type, subject_id
    ), newest AS (
      SELECT subject_type AS type, subject_id AS id, convert_from(state, 'UTF8')::jsonb AS state,
             entry, salt, audit_events.state AS bytes
        FROM audit_events JOIN events ON subject_id = events.id AND subject_version = newest
    )
    SELECT coalesce(subjects.type, events.type) || ' ' || id AS subject, 'version and number of events' AS difference
      FROM subjects FULL JOIN events USING (type, id)
      WHERE (version = number AND version = newest) IS NOT TRUE
    UNION ALL
    SELECT type || ' ' || id, 'row and newest state: ' || key
      FROM subjects JOIN newest USING (type, id),
           jsonb_object_keys(subjects.state || newest.state) AS key
      WHERE subjects.state -> key IS DISTINCT FROM
            CASE WHEN key IN ('createdAt', 'updatedAt', 'placedAt', 'expiresAt', 'revokedAt')
                      AND newest.state ->> key IS NOT NULL
                 THEN to_jsonb((newest.state ->> key)::timestamptz) ELSE newest.state -> key END
    UNION ALL
    SELECT subject_type || ' ' || coalesce(subject_id::text, 'none'), 'columns and entry of version ' || coalesce(subject_version::text, 'none')
      FROM audit_events, LATERAL (SELECT convert_from(entry, 'UTF8')::jsonb AS entry) AS parsed
      WHERE parsed.entry - 'stateHash' IS DISTINCT FROM jsonb_build_object(
        'v', 1, 'id', id, 'at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'action', action,
        'actor', jsonb_build_object('type', actor_type, 'id', actor_id), 'requestId', request_id,
        'subject', jsonb_build_object('type', subject_type, 'id', subject_id, 'version', subject_version))
    UNION ALL
    SELECT 'order ' || orders.id, 'paid and refunded, and the ledger'
      FROM orders LEFT JOIN order_ledger ON order_id = orders.id
      GROUP BY orders.id
      HAVING paid <> coalesce(sum(amount) FILTER (WHERE kind = 'payment'), 0)
          OR refunded <> coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0)
    UNION ALL
    SELECT type || ' ' || id, 'entry and state hash' FROM newest
      WHERE convert_from(entry, 'UTF8')::jsonb ->> 'stateHash' <> encode(sha256(salt || bytes), 'hex')`);
  expect(differences).toEqual([]);
}
