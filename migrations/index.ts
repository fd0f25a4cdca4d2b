import { AuditEvents1795305600000 } from './1795305600000-audit-events.js';
import { Users1795305600001 } from './1795305600001-users.js';
import { Orders1795305600002 } from './1795305600002-orders.js';
import { IdempotencyKeys1795305600003 } from './1795305600003-idempotency-keys.js';

/** All migrations, oldest first. */
export const migrations = [
  AuditEvents1795305600000,
  Users1795305600001,
  Orders1795305600002,
  IdempotencyKeys1795305600003,
];
