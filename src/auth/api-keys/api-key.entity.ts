import { Column, Entity, JoinColumn, OneToOne, PrimaryColumn, type Relation } from 'typeorm';
import type { Scope } from '../../http/access.js';

/** A key with which a machine calls; of its secret only the hash is kept. */
@Entity('api_keys')
export class ApiKey {
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'api_keys_pkey' })
  id: string;

  @Column('integer')
  version: number;

  @Column('text')
  name: string;

  /** 1 or 2: so many keys of a name can be unrevoked at a time. */
  @Column('smallint')
  slot: number;

  @Column('text', { array: true })
  scopes: Scope[];

  @Column('bytea', { name: 'secret_hash' })
  secretHash: Buffer;

  @Column({ type: 'timestamptz', precision: 3, name: 'expires_at', nullable: true })
  expiresAt: Date | null;

  @Column({ type: 'timestamptz', precision: 3, name: 'revoked_at', nullable: true })
  revokedAt: Date | null;

  @Column({ type: 'timestamptz', precision: 3, name: 'created_at' })
  createdAt: Date;

  @Column({ type: 'timestamptz', precision: 3, name: 'updated_at' })
  updatedAt: Date;

  @OneToOne(() => ApiKeyUse, (use) => use.key)
  lastUse?: Relation<ApiKeyUse> | null;
}

/** When a key was used last, to the minute; no part of the key's versions. */
@Entity('api_key_uses')
export class ApiKeyUse {
  @PrimaryColumn('uuid', { name: 'key_id', primaryKeyConstraintName: 'api_key_uses_pkey' })
  keyId: string;

  @Column({ type: 'timestamptz', precision: 3, name: 'last_used_at' })
  lastUsedAt: Date;

  @OneToOne(() => ApiKey, (key) => key.lastUse)
  @JoinColumn({ name: 'key_id', foreignKeyConstraintName: 'api_key_uses_key_fkey' })
  key?: Relation<ApiKey>;
}
