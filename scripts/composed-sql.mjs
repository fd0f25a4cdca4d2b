// Runs what composes SQL at run time, once in every way: its texts cannot be read off the sources.
import { EventsSection } from '../dist/src/audit/integrity/events-section.js';
import { RowsSection } from '../dist/src/audit/integrity/rows-section.js';
import { CurrentStates } from '../dist/src/audit/current-states.js';
import { eventsThatFit } from '../dist/src/audit/audit.service.js';
import { ApiKeys } from '../dist/src/auth/api-keys/api-keys.service.js';
import { apiKeyCheck } from '../dist/src/auth/api-keys/api-key.integrity.js';
import { Sessions } from '../dist/src/auth/sessions.js';
import { DirectWrite } from '../dist/src/database/direct-write.js';
import { insertOrders } from '../dist/src/orders/insert-orders.js';
import { orderCreation } from '../dist/src/orders/place-orders.js';
import { orderCheck } from '../dist/src/orders/order.integrity.js';
import { searchOrders } from '../dist/src/orders/search.js';
import { userCheck } from '../dist/src/users/user.integrity.js';
import { usersThatFit } from '../dist/src/users/users.service.js';

const ID = '019b0000-0000-7000-8000-000000000000';
const LIMIT = 10;
const checks = [userCheck, orderCheck, apiKeyCheck];

/** How the texts of each file come about, in an open transaction. */
export const composers = {
  'src/audit/audit.service.ts': (tx) => search(tx, eventsThatFit),
  'src/audit/current-states.ts': (tx) =>
    search(tx, (filters) => ({
      page: (...page) => on(tx, CurrentStates).page('order', searchOrders(filters), ...page.slice(1), tx),
    })),
  'src/audit/integrity/events-section.ts': (tx) =>
    new EventsSection({ all: () => checks }).findRows(tx, [ID]),
  'src/audit/integrity/rows-section.ts': walk,
  'src/auth/api-keys/api-keys.service.ts': (tx) => on(tx, ApiKeys).list({ limit: LIMIT }),
  'src/auth/sessions.ts': (tx) => on(tx, Sessions).list(ID, LIMIT),
  'src/database/direct-write.ts': placeForNobody,
  'src/database/keyset-search.ts': (tx) => search(tx, searchOrders),
  'src/database/keyset.ts': (tx) => search(tx, searchOrders),
  'src/orders/insert-orders.ts': (tx) => insertOrders(tx, [{ lines: [{}] }]),
  'src/orders/search.ts': (tx) => search(tx, searchOrders),
  'src/users/users.service.ts': (tx) => search(tx, usersThatFit),
};

/** A service that has the transaction and nothing else. */
function on(tx, Service) {
  const keys = { find: () => [] };
  return Object.assign(Object.create(Service.prototype), { dataSource: tx.dataSource, keys });
}

/** In a transaction of its own; without such a user nothing is kept. */
function placeForNobody(tx) {
  const placement = {
    userId: ID,
    order: { currency: 'EUR', shipping: 0, metadata: {} },
    lines: [],
    amounts: {},
  };
  const origin = { actor: { type: 'system', id: null }, requestId: ID };
  const attempt = { input: placement, origin, request: undefined, eventId: ID };
  return new DirectWrite(orderCreation).run(tx.dataSource, [attempt]);
}

/** By all filters that the search asks for, by each alone, and by none. */
async function search(tx, queryOf) {
  const asked = new Set();
  const read = (isWanted) => {
    const get = (_, name) => (asked.add(name) && isWanted(name) ? valueOf(name) : undefined);
    return queryOf(new Proxy({}, { get })).page(tx, LIMIT, undefined);
  };
  await read(() => true);
  for (const name of asked) await read((each) => each === name);
  await read(() => false);
}

/** A value for a filter of this name. */
function valueOf(name) {
  if (/Id$/.test(name)) return ID;
  if (/from$|to$/i.test(name)) return '2026-01-01T00:00:00Z';
  return /Min$|Max$/.test(name) ? 0 : 'any';
}

async function walk(tx) {
  for (const check of checks) {
    const section = new RowsSection(check);
    await section.bounds(tx);
    for (const after of [undefined, ID]) await section.page(tx, after, ID, LIMIT);
    await section.examine(tx, [ID]);
  }
}
