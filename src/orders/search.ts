import { KeysetQuery, type SearchableList } from '../database/keyset.js';
import type { OrderQuery } from './orders.dto.js';

type OrderFilters = Omit<OrderQuery, 'limit' | 'cursor'>;

/** Orders and the indexes that they are searched by; all other conditions filter. */
const ORDERS: SearchableList = {
  table: 'orders',
  indexes: [
    [{ columns: ['reference', 'user_id'], unique: {} }],
    [{ columns: ['reference'], only: 'reference IS NOT NULL', nullsFirst: true }],
    [{ columns: ['user_id'] }],
    [{ columns: ['sku'], through: { table: 'order_lines', id: 'order_id' } }],
    [{ columns: ['payment_status'], except: ['unpaid', 'paid'] }],
    [{ columns: ['fulfillment_status'], except: ['unfulfilled', 'fulfilled'] }],
    [{ columns: ['status'], except: ['completed'] }],
  ],
};

/** The orders (of `owner`, where given) that fit the filters. */
export function searchOrders(filters: OrderFilters, owner?: string): KeysetQuery {
  return (
    new KeysetQuery(ORDERS)
      .equal('user_id', owner, '?::uuid')
      .equal('user_id', filters.userId, '?::uuid')
      .equal('reference', filters.reference)
      .equal('payment_status', filters.paymentStatus)
      .equal('fulfillment_status', filters.fulfillmentStatus)
      .equal('status', filters.status)
      .equal('currency', filters.currency)
      .during('placed_at', filters.placedFrom, filters.placedTo)
      .compare('total', '>=', filters.totalMin)
      .compare('total', '<=', filters.totalMax)
      // Last: where it filters, it takes a look at the lines, and is not asked of an order that fails before.
      .equal('sku', filters.sku)
  );
}
