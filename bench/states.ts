const TIMES = `'createdAt', ${iso('created_at')}, 'updatedAt', ${iso('updated_at')}`;

/** The states of rows, as events tell them; of what was posted to an order, the payments alone. */
const states = {
  users: `json_build_object('id', id, 'name', name, 'email', email, 'role', role, 'status', status,
    'version', version, ${TIMES})`,
  orders: `json_build_object('id', id, 'userId', user_id, 'reference', reference, 'currency', currency,
    'status', status,
    'hold', CASE WHEN held_from IS NOT NULL THEN json_build_object('from', held_from, 'reason', hold_reason) END,
    'paymentStatus', payment_status, 'fulfillmentStatus', fulfillment_status,
    'lines', (SELECT json_agg(json_build_object('position', position, 'sku', sku, 'name', name, 'quantity', quantity,
                'unitPrice', unit_price, 'discountPpm', discount_ppm, 'taxPpm', tax_ppm, 'subtotal', subtotal,
                'discount', discount, 'tax', tax, 'total', total, 'fulfilled', 0, 'refunded', 0) ORDER BY position)
                FROM order_lines WHERE order_id = orders.id),
    'payments', (SELECT coalesce(json_agg(json_build_object('version', order_version, 'amount', amount,
                   'provider', provider, 'providerReference', provider_reference, 'method', method, 'at', ${iso('at')})
                   ORDER BY order_version), '[]')
                   FROM order_ledger WHERE order_id = orders.id AND kind = 'payment'),
    'refunds', '[]'::json, 'fulfillments', '[]'::json, 'subtotal', subtotal,
    'discount', discount, 'tax', tax, 'shipping', shipping, 'total', total, 'paid', paid, 'refunded', refunded,
    'note', note, 'metadata', metadata, 'version', version, 'placedAt', ${iso('placed_at')}, ${TIMES})`,
};

const actions = { users: 'user.created', orders: 'order.placed' };

/** SQL that stores, for rows that fit `condition`, the events that made them what they are. */
export function insertEvents(table: keyof typeof states, condition = 'true'): string {
  return `
    INSERT INTO audit_events (id, at, actor_type, action, subject_type, subject_id, subject_version, request_id, entry,
                              salt, state)
    SELECT uuidv7(), now(), 'system', action, split_part(action, '.', 1), id, version, uuidv7(),
           convert_to(id::text, 'UTF8'), uuid_send(gen_random_uuid()), convert_to(state::text, 'UTF8')
      FROM (SELECT '${actions[table]}' AS action, id, version, ${states[table]} AS state
              FROM ${table} WHERE ${condition}) AS subjects`;
}

/** A time as JavaScript writes it. */
function iso(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
