import { AuditEvents1795305600000 } from './1795305600000-audit-events.js';
import { Users1795305600001 } from './1795305600001-users.js';
import { Orders1795305600002 } from './1795305600002-orders.js';
import { IdempotencyKeys1795305600003 } from './1795305600003-idempotency-keys.js';
import { EventsWithoutState1795305600004 } from './1795305600004-events-without-state.js';
import { Credentials1795305600005 } from './1795305600005-credentials.js';
import { ApiKeys1795305600006 } from './1795305600006-api-keys.js';
import { LastAdmin1795305600007 } from './1795305600007-last-admin.js';
import { OrderLifeCycle1795305600008 } from './1795305600008-order-life-cycle.js';
import { ListIndexes1795305600009 } from './1795305600009-list-indexes.js';
import { AuditLog1795305600011 } from './1795305600011-audit-log.js';
import { Erasure1795305600012 } from './1795305600012-erasure.js';
import { LinesByTheirOrder1795305600013 } from './1795305600013-lines-by-their-order.js';

/** All migrations, oldest first. */
export const migrations = [
  AuditEvents1795305600000,
  Users1795305600001,
  Orders1795305600002,
  IdempotencyKeys1795305600003,
  EventsWithoutState1795305600004,
  Credentials1795305600005,
  ApiKeys1795305600006,
  LastAdmin1795305600007,
  OrderLifeCycle1795305600008,
  ListIndexes1795305600009,
  AuditLog1795305600011,
  Erasure1795305600012,
  LinesByTheirOrder1795305600013,
];
