import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, In, Repository } from 'typeorm';
import { KeysetQuery, type Slice } from '../database/keyset.js';
import { Order } from './order.entity.js';
import { orderState, type OrderState } from './order.events.js';
import { findPostings } from './postings.js';
import type { OrderQuery } from './orders.dto.js';

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
    const { ids, next } = await new KeysetQuery('orders')
      .narrow('reference = ?', query.reference)
      .narrow('user_id = ?', owner)
      .narrow('user_id = ?', query.userId)
      .narrow('id IN (SELECT order_id FROM order_lines WHERE sku = ?)', query.sku)
      .filter('status = ?', query.status)
      .filter('payment_status = ?', query.paymentStatus)
      .filter('fulfillment_status = ?', query.fulfillmentStatus)
      .filter('currency = ?', query.currency)
      .filter('placed_at >= ?', query.placedFrom)
      .filter('placed_at < ?', query.placedTo)
      .filter('total >= ?', query.totalMin)
      .filter('total <= ?', query.totalMax)
      .page(this.dataSource, query.limit, after);
    return { data: await this.find(ids), next };
  }
}
