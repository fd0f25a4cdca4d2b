import { Column, Entity, JoinColumn, ManyToOne, OneToMany, PrimaryColumn } from 'typeorm';
import type { FulfillmentStatus, OrderStatus, PaymentStatus } from './status.js';

/** An order; amounts are integers in minor units of `currency`. */
@Entity('orders')
export class Order {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'orders_pkey' })
  id: string;

  @Column('integer')
  version: number;

  @Column('uuid', { name: 'user_id' })
  userId: string;

  @Column('text', { nullable: true })
  reference: string | null;

  @Column('text')
  currency: string;

  @Column('text')
  status: OrderStatus;

  /** Where an order on hold was before, and why it is held. */
  @Column('text', { name: 'held_from', nullable: true })
  heldFrom: OrderStatus | null;

  @Column('text', { name: 'hold_reason', nullable: true })
  holdReason: string | null;

  @Column('text', { name: 'payment_status' })
  paymentStatus: PaymentStatus;

  @Column('text', { name: 'fulfillment_status' })
  fulfillmentStatus: FulfillmentStatus;

  @Column('bigint')
  subtotal: number;

  @Column('bigint')
  discount: number;

  @Column('bigint')
  tax: number;

  @Column('bigint')
  shipping: number;

  @Column('bigint')
  total: number;

  @Column('bigint')
  paid: number;

  @Column('bigint')
  refunded: number;

  @Column('text', { nullable: true })
  note: string | null;

  @Column('jsonb')
  metadata: Record<string, string>;

  @Column({ type: 'timestamptz', precision: 3, name: 'placed_at' })
  placedAt: Date;

  @Column({ type: 'timestamptz', precision: 3, name: 'created_at' })
  createdAt: Date;

  @Column({ type: 'timestamptz', precision: 3, name: 'updated_at' })
  updatedAt: Date;

  @OneToMany(() => OrderLine, (line) => line.order)
  lines: OrderLine[];
}

/** A line of an order, which never changes. */
@Entity('order_lines')
export class OrderLine {
  @PrimaryColumn('uuid', { name: 'order_id', primaryKeyConstraintName: 'order_lines_pkey' })
  orderId: string;

  /** Counts from 1. */
  @PrimaryColumn('integer', { primaryKeyConstraintName: 'order_lines_pkey' })
  position: number;

  @Column('integer', { name: 'order_version' })
  orderVersion: number;

  @Column('text')
  sku: string;

  @Column('text')
  name: string;

  @Column('integer')
  quantity: number;

  @Column('bigint', { name: 'unit_price' })
  unitPrice: number;

  @Column('integer', { name: 'discount_ppm' })
  discountPpm: number;

  @Column('integer', { name: 'tax_ppm' })
  taxPpm: number;

  @Column('bigint')
  subtotal: number;

  @Column('bigint')
  discount: number;

  @Column('bigint')
  tax: number;

  @Column('bigint')
  total: number;

  @ManyToOne(() => Order, (order) => order.lines)
  @JoinColumn({ name: 'order_id', foreignKeyConstraintName: 'order_lines_order_fkey' })
  order?: Order;
}
