import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KeysetQuery, type SearchableList, type Slice } from '../database/keyset.js';
import type { Queryable } from '../database/snapshot.js';
import { Order, OrderLine } from './order.entity.js';
import { orderState, type OrderState } from './order.events.js';
import { findPostings } from './postings.js';
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

/** How orders are read: from rows to states, without entities between. */
@Injectable()
export class OrdersRepository {
  private readonly ordersWithLines: string;

  constructor(private readonly dataSource: DataSource) {
    const column = (name: string, member: string) => `orders.${name} AS "${member}"`;
    const pair = (name: string, member: string) => `'${member}', ${name}`;
    this.ordersWithLines = `
      SELECT ${this.columnsOf(Order, column)},
             (SELECT json_agg(json_build_object(${this.columnsOf(OrderLine, pair)}))
                FROM order_lines WHERE order_id = orders.id) AS lines
        FROM orders
       WHERE id = ANY($1::uuid[])
       ORDER BY id DESC`;
  }

  /** The orders with these ids, newest first. */
  async find(ids: readonly string[], database: Queryable = this.dataSource): Promise<OrderState[]> {
    if (ids.length === 0) return [];
    const orders = await database.query<Order[]>(this.ordersWithLines, [ids]);
    // A new order has none.
    const changed = orders.filter(({ version }) => version > 1).map(({ id }) => id);
    const postings = await findPostings(database, changed);
    return orders.map((order) => orderState(order, postings.get(order.id)));
  }

  /** One page of the orders (of `owner`, where given) that fit the query, newest first, and where the next one starts. */
  async page(query: OrderQuery, after: string | undefined, owner?: string): Promise<Slice<OrderState>> {
    const { ids, next } = await searchOrders(query, owner).page(this.dataSource, query.limit, after);
    return { data: await this.find(ids), next };
  }

  private columnsOf(entity: new () => object, write: (column: string, member: string) => string): string {
    const { columns } = this.dataSource.getMetadata(entity);
    return columns.map(({ databaseName, propertyName }) => write(databaseName, propertyName)).join(', ');
  }
}

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
