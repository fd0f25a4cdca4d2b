import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, In, Repository } from 'typeorm';
import { KeysetQuery, type Slice } from '../database/keyset.js';
import { Order } from './order.entity.js';
import { orderState, type OrderState } from './order.events.js';
import { findPostings } from './postings.js';
import type { OrderQuery } from './orders.dto.js';

type OrderFilters = Omit<OrderQuery, 'limit' | 'cursor'>;

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
  return new KeysetQuery('orders')
    .narrow('reference = ?', filters.reference)
    .narrow('user_id = ?', owner)
    .narrow('user_id = ?', filters.userId)
    .narrow('id IN (SELECT order_id FROM order_lines WHERE sku = ?)', filters.sku)
    .filter('status = ?', filters.status)
    .filter('payment_status = ?', filters.paymentStatus)
    .filter('fulfillment_status = ?', filters.fulfillmentStatus)
    .filter('currency = ?', filters.currency)
    .filter('placed_at >= ?', filters.placedFrom)
    .filter('placed_at < ?', filters.placedTo)
    .filter('total >= ?', filters.totalMin)
    .filter('total <= ?', filters.totalMax);
}
