import type { EntityManager } from 'typeorm';
import { reachableUsers } from '../users/users.repository.js';
import { type Placement, referenceTaken, refusalOf } from './place-orders.js';
import { totalsHash } from './preview-hash.js';
import type { PreviewResponse } from './preview.dto.js';

/**
 * What a placement would come to if it were placed now. Reads alone; throws what placing would answer: `validation-failed`
 * for an unknown user, `totals-changed`, `already-exists` for a reference that is taken.
 */
export async function previewOrder(database: EntityManager, placement: Placement): Promise<PreviewResponse> {
  const refusal = refusalOf(placement, await reachableUsers(database, [placement.userId]));
  if (refusal !== undefined) throw refusal;
  const { userId, order, lines, amounts } = placement;
  if (typeof order.reference === 'string') {
    const taken = await database.query<unknown[]>(
      `SELECT 1 FROM orders WHERE user_id = $1 AND reference = $2`,
      [userId, order.reference],
    );
    if (taken.length > 0) throw referenceTaken();
  }
  return {
    userId,
    currency: order.currency,
    lines: lines.map((line, index) => ({
      position: index + 1,
      sku: line.sku,
      name: line.name,
      quantity: line.quantity,
      unitPrice: line.unitPrice,
      discountPpm: line.discountPpm,
      taxPpm: line.taxPpm,
      subtotal: line.subtotal,
      discount: line.discount,
      tax: line.tax,
      total: line.total,
    })),
    subtotal: amounts.subtotal,
    discount: amounts.discount,
    tax: amounts.tax,
    shipping: order.shipping,
    total: amounts.total,
    totalsHash: totalsHash(placement),
  };
}
