import { In } from 'typeorm';
import { Places } from '../audit/integrity/compare.js';
import { type Finding, finding } from '../audit/integrity/finding.js';
import type { SubjectCheck } from '../audit/integrity/subject-check.js';
import type { Transaction } from '../database/transaction.js';
import { existingUsers } from '../users/users.repository.js';
import { Order, OrderLine } from './order.entity.js';
import { completeState, orderState } from './order.events.js';
import { orderFolds } from './order.folds.js';
import { findPostings } from './postings.js';
import { refold } from './refold.js';

const AMOUNTS = ['subtotal', 'discount', 'tax', 'total'];
const below = (place: string, members: readonly string[]) => members.map((member) => `${place}/${member}`);

const places = new Places({
  shown: [
    ...below('', ['id', 'userId', 'currency', 'status', 'hold/from', 'paymentStatus', 'fulfillmentStatus']),
    ...below('', [
      ...AMOUNTS,
      'shipping',
      'paid',
      'refunded',
      'version',
      'placedAt',
      'createdAt',
      'updatedAt',
    ]),
    ...below('/lines/*', ['position', 'quantity', 'unitPrice', 'discountPpm', 'taxPpm', ...AMOUNTS]),
    ...below('/lines/*', ['fulfilled', 'refunded']),
    ...below('/payments/*', ['version', 'at', 'amount']),
    ...below('/refunds/*', [
      'version',
      'at',
      'amount',
      'lines/*/position',
      'lines/*/quantity',
      'lines/*/amount',
    ]),
    ...below('/fulfillments/*', ['version', 'at', 'lines/*/position', 'lines/*/quantity']),
  ],
  hidden: [
    ...below('', ['reference', 'hold/reason', 'note', 'metadata']),
    ...below('/lines/*', ['sku', 'name']),
    ...below('/payments/*', ['provider', 'providerReference', 'method']),
    ...below('/refunds/*', ['reason']),
    ...below('/fulfillments/*', ['carrier', 'trackingNumber']),
  ],
});

/** How orders are checked: rows, lines, ledger and fulfillments by the rules that placed and moved them. */
export const orderCheck: SubjectCheck<'order'> = {
  type: 'order',
  table: 'orders',
  parts: {
    order_lines: 'order_id',
    order_ledger: 'order_id',
    order_refund_lines: 'order_id',
    order_fulfillments: 'order_id',
    order_fulfillment_lines: 'order_id',
  },
  places,
  isErased: 'false',
  folds: orderFolds,
  complete: completeState,

  async read(tx, ids) {
    const orders = await tx.findBy(Order, { id: In([...ids]) });
    const lines = Map.groupBy(
      await tx.findBy(OrderLine, { orderId: In([...ids]) }),
      ({ orderId }) => orderId,
    );
    const postings = await findPostings(tx, ids);
    const strays = await findStrays(tx, ids);
    const users = await existingUsers(
      tx,
      orders.map(({ userId }) => userId),
    );
    return orders.map((row) => {
      const order = { ...row, lines: lines.get(row.id) ?? [] };
      const state = orderState(order, postings.get(row.id));
      const { state: expected, findings = [] } = refold(state);
      return {
        state,
        findings: [
          ...findings,
          ...places.compare('fold-differs', expected, state),
          ...holdFindings(row),
          ...(strays.get(row.id) ?? []),
          ...(users.has(row.userId) ? [] : [finding('row-stray', '/userId', { actual: row.userId })]),
          ...order.lines
            .filter(({ orderVersion }) => orderVersion !== 1)
            .map(({ orderVersion: actual }) =>
              finding('row-stray', 'order_lines.order_version', { expected: 1, actual }),
            ),
        ],
      };
    });
  },
};

/** A hold remembers where the order was and why; an order that is not on hold remembers neither. */
function holdFindings({ status, heldFrom, holdReason }: Order): Finding[] {
  const isHeld = status === 'on_hold';
  if (isHeld === (heldFrom !== null) && isHeld === (holdReason !== null)) return [];
  return [finding('fold-differs', '/hold')];
}

/** What hangs on the wrong kind of row, or on none, so that no state tells of it. */
async function findStrays(tx: Transaction, ids: readonly string[]): Promise<Map<string, Finding[]>> {
  const rows = await tx.query<{ id: string; place: string; version: number }[]>(
    `SELECT order_id AS id, 'order_refund_lines.order_version' AS place, order_version AS version
       FROM order_refund_lines AS units
      WHERE order_id = ANY($1::uuid[])
        AND NOT EXISTS (SELECT FROM order_ledger AS ledger
                         WHERE (ledger.order_id, ledger.order_version) = (units.order_id, units.order_version)
                           AND kind = 'refund')
     UNION
     SELECT order_id, 'order_fulfillment_lines.order_version', order_version FROM order_fulfillment_lines AS units
      WHERE order_id = ANY($1::uuid[])
        AND NOT EXISTS (SELECT FROM order_fulfillments AS sent
                         WHERE (sent.order_id, sent.order_version) = (units.order_id, units.order_version))
     UNION
     SELECT order_id, 'order_ledger.kind', order_version FROM order_ledger
      WHERE order_id = ANY($1::uuid[])
        AND CASE kind WHEN 'payment' THEN reason IS NOT NULL
                      WHEN 'refund' THEN num_nonnulls(provider, provider_reference, method) > 0
                      ELSE true END
     ORDER BY id, version`,
    [ids],
  );
  return new Map(
    [...Map.groupBy(rows, ({ id }) => id)].map(([id, strays]) => [
      id,
      strays.map(({ place, version }) => finding('row-stray', place, { actual: version })),
    ]),
  );
}
