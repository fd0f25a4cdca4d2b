import {
  Column,
  Entity,
  JoinColumn,
  ManyToOne,
  OneToMany,
  OneToOne,
  PrimaryColumn,
  type Relation,
} from 'typeorm';
import type { EventRow } from '../rules/audit.js';
import type { LineRow, OrderRow } from '../rules/orders.js';

@Entity('users')
export class User {
  @PrimaryColumn('uuid') id: string;
  @Column('text') name: string;
  @Column('text') email: string;
  @Column('text') role: string;
  @Column('text') status: string;
  @Column('integer') version: number;
  @Column('timestamptz', { name: 'created_at' }) createdAt: Date;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt: Date;
  @OneToOne(() => Password, (password) => password.user) password?: Relation<Password>;
}

@Entity('passwords')
export class Password {
  @PrimaryColumn('uuid', { name: 'user_id' }) userId: string;
  @Column('text') hash: string;
  @OneToOne(() => User, (user) => user.password) @JoinColumn({ name: 'user_id' }) user?: Relation<User>;
}

@Entity('sessions')
export class Session {
  @PrimaryColumn('uuid') id: string;
  @Column('uuid', { name: 'user_id' }) userId: string;
  @Column('bytea', { name: 'refresh_hash' }) refreshHash: Buffer;
  @Column('timestamptz', { name: 'expires_at' }) expiresAt: Date;
}

@Entity('orders')
export class Order implements OrderRow {
  @PrimaryColumn('uuid') id: string;
  @Column('integer') version: number;
  @Column('uuid', { name: 'user_id' }) userId: string;
  @Column('text', { nullable: true }) reference: string | null;
  @Column('text') currency: string;
  @Column('text') status: string;
  @Column('text', { name: 'payment_status' }) paymentStatus: string;
  @Column('text', { name: 'fulfillment_status' }) fulfillmentStatus: string;
  @Column('bigint') subtotal: number;
  @Column('bigint') discount: number;
  @Column('bigint') tax: number;
  @Column('bigint') shipping: number;
  @Column('bigint') total: number;
  @Column('bigint') paid: number;
  @Column('bigint') refunded: number;
  @Column('text', { nullable: true }) note: string | null;
  @Column('jsonb') metadata: Record<string, string>;
  @Column('timestamptz', { name: 'placed_at' }) placedAt: Date;
  @Column('timestamptz', { name: 'created_at' }) createdAt: Date;
  @Column('timestamptz', { name: 'updated_at' }) updatedAt: Date;
  @OneToMany(() => OrderLine, (line) => line.order) lines: Relation<OrderLine>[];
}

@Entity('order_lines')
export class OrderLine implements LineRow {
  @PrimaryColumn('uuid', { name: 'order_id' }) orderId: string;
  @PrimaryColumn('integer') position: number;
  @Column('integer', { name: 'order_version' }) orderVersion: number;
  @Column('text') sku: string;
  @Column('text') name: string;
  @Column('integer') quantity: number;
  @Column('bigint', { name: 'unit_price' }) unitPrice: number;
  @Column('integer', { name: 'discount_ppm' }) discountPpm: number;
  @Column('integer', { name: 'tax_ppm' }) taxPpm: number;
  @Column('bigint') subtotal: number;
  @Column('bigint') discount: number;
  @Column('bigint') tax: number;
  @Column('bigint') total: number;
  @ManyToOne(() => Order, (order) => order.lines) @JoinColumn({ name: 'order_id' }) order?: Relation<Order>;
}

@Entity('audit_events')
export class AuditEvent implements EventRow {
  @PrimaryColumn('uuid') id: string;
  @Column('timestamptz') at: string;
  @Column('text', { name: 'actor_type' }) actorType: string;
  @Column('uuid', { name: 'actor_id', nullable: true }) actorId: string | null;
  @Column('text') action: string;
  @Column('text', { name: 'subject_type' }) subjectType: string;
  @Column('uuid', { name: 'subject_id' }) subjectId: string;
  @Column('integer', { name: 'subject_version', nullable: true }) subjectVersion: number | null;
  @Column('uuid', { name: 'request_id' }) requestId: string;
  @Column('bytea') entry: Buffer;
  @Column('bytea', { nullable: true }) salt: Buffer | null;
  @Column('bytea', { nullable: true }) state: Buffer | null;
}

@Entity('idempotency_keys')
export class IdempotencyKey {
  @PrimaryColumn('text') scope: string;
  @PrimaryColumn('text') key: string;
  @Column('bytea') fingerprint: Buffer;
  @Column('uuid', { name: 'event_id' }) eventId: string;
}
