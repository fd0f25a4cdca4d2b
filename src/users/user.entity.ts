import { Column, Entity, PrimaryColumn } from 'typeorm';
import type { Role } from '../http/access.js';

export const userStatuses = ['active', 'suspended', 'erased'] as const;
export type UserStatus = (typeof userStatuses)[number];

@Entity('users')
export class User {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'users_pkey' })
  id: string;

  @Column('integer')
  version: number;

  @Column('text')
  name: string;

  @Column('text')
  email: string;

  @Column('text')
  role: Role;

  @Column('text')
  status: UserStatus;

  @Column({ type: 'timestamptz', precision: 3, name: 'created_at' })
  createdAt: Date;

  @Column({ type: 'timestamptz', precision: 3, name: 'updated_at' })
  updatedAt: Date;
}
