import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, In, Repository } from 'typeorm';
import { KeysetQuery, type SearchableList, type Slice } from '../database/keyset.js';
import { Order } from './order.entity.js';
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

/** How orders are read. */
@Injectable()
export class OrdersRepository {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(Order) private readonly orders: Repository<Order>,
  ) {}

  /** The orders with these ids, newest first. */
  async find(ids: readonly string[]): Promise<OrderState[]> {
    const orders = await this.orders.find({
      where: { id: In([...ids]) },
      relations: { lines: true },
      relationLoadStrategy: 'query',
      order: { id: 'DESC' },
    });
    // A new order has none.
    const changed = orders.filter(({ version }) => version > 1).map(({ id }) => id);
    const postings = await findPostings(this.dataSource.manager, changed);
    return orders.map((order) => orderState(order, postings.get(order.id)));
  }

  /** One page of the orders (of `owner`, where given) that fit the query, newest first, and where the next one starts. */
  async page(query: OrderQuery, after: string | undefined, owner?: string): Promise<Slice<OrderState>> {
    const { ids, next } = await searchOrders(query, owner).page(this.dataSource, query.limit, after);
    return { data: await this.find(ids), next };
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
