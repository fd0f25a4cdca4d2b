import { randomUUID } from 'node:crypto';
import type { TestDatabase } from './database.js';
import { appendEvent, appendOccurrence, forgeEvents, type Forgery, tamper } from './forgery.js';
import { insert, lineRow } from './rows.js';

/** A way to tamper, and what is found of it. */
interface Forgeries {
  readonly [title: string]: {
    /** Whose copy is tampered with: a user at version 3, a revoked key, an order on hold at version 6 or one just placed. */
    readonly of: 'user' | 'api-key' | 'full order' | 'placed order';
    /** Returns the subject that must be named, unless it is the one tampered with. */
    plant(database: TestDatabase, id: string): Promise<string | null | undefined | void>;
    readonly where: string;
    readonly code: string;
  };
}

const more = (cents: unknown) => Number(cents) + 1;
const update = (table: string, set: string, where = 'order_id = $1') =>
  `UPDATE ${table} SET ${set} WHERE ${where}`;
const remove = (
  table: string,
  of: Forgeries[string]['of'],
  where = 'order_id = $1',
  code = 'row-differs',
  place = '',
) => ({
  of,
  plant: (database: TestDatabase, id: string) =>
    tamper(database, [`DELETE FROM ${table} WHERE ${where}`, id]),
  where: place,
  code,
});
/** The same forgery in the states of several versions. */
const inVersions = (versions: readonly number[], state: Forgery['state']) =>
  versions.map((version): Forgery => ({ version, ...(state && { state }) }));
const stray = (table: string, row: object) => ({
  of: 'placed order' as const,
  plant: async (database: TestDatabase) => {
    const id = randomUUID();
    await tamper(database, insert(table, { ...row, order_id: id }));
    return id;
  },
  where: table,
  code: 'row-missing',
});
const AT = '2026-01-02T03:04:05.678Z';

/** Makes the user's newest version an erasure, which has left the states before it. */
async function eraseByHand(database: TestDatabase, id: string): Promise<void> {
  const erased = { name: 'Erased user', email: `${id}@erased.invalid`, status: 'erased' };
  await forgeEvents(database, id, {
    version: 3,
    entry: { action: 'user.erased' },
    state: (user) => Object.assign(user, erased, { role: 'customer' }),
  });
  await tamper(database, [
    `UPDATE users SET name = $2, email = $3, status = $4, role = 'customer' WHERE id = $1`,
    id,
    ...Object.values(erased),
  ]);
}

/** Each is sound where it can be: hashes, entries and columns go together, and only what is told is false. */
export const forgeries: Forgeries = {
  'an order inserted in another status than placed': {
    of: 'placed order',
    async plant(database, id) {
      await forgeEvents(database, id, { version: 1, state: (order) => (order.status = 'completed') });
      await tamper(database, [update('orders', `status = 'completed'`, 'id = $1'), id]);
    },
    where: '/status',
    code: 'fold-differs',
  },
  'money that no ledger tells of': {
    of: 'placed order',
    async plant(database, id) {
      const state: Forgery['state'] = (order) =>
        Object.assign(order, { paid: 100, paymentStatus: 'partially_paid' });
      await forgeEvents(database, id, { version: 1, state });
      await tamper(database, [
        update('orders', `paid = 100, payment_status = 'partially_paid'`, 'id = $1'),
        id,
      ]);
    },
    where: '/paid',
    code: 'fold-differs',
  },
  'a refund of units that hangs on a payment': {
    of: 'full order',
    plant: (database, id) =>
      tamper(
        database,
        insert('order_refund_lines', { order_id: id, order_version: 3, position: 2, quantity: 1, amount: 1 }),
      ),
    where: 'order_refund_lines.order_version',
    code: 'row-stray',
  },
  'a fulfillment of nothing': {
    of: 'full order',
    async plant(database, id) {
      const nothing: Forgery['state'] = (order) => {
        order.fulfillments[0].lines = [];
        order.lines[0].fulfilled = 0;
        order.fulfillmentStatus = 'unfulfilled';
      };
      await forgeEvents(database, id, ...inVersions([4, 5, 6], nothing));
      await tamper(
        database,
        ['DELETE FROM order_fulfillment_lines WHERE order_id = $1', id],
        [update('orders', `fulfillment_status = 'unfulfilled'`, 'id = $1'), id],
      );
    },
    where: '/fulfillments/0/lines',
    code: 'line-missing',
  },
  'more units sent out than were ordered': {
    of: 'full order',
    async plant(database, id) {
      const many: Forgery['state'] = (order) => {
        order.fulfillments[0].lines[0].quantity = 4;
        order.lines[0].fulfilled = 4;
      };
      await forgeEvents(database, id, ...inVersions([4, 5, 6], many));
      await tamper(database, [update('order_fulfillment_lines', 'quantity = 4'), id]);
    },
    where: '/lines/0/fulfilled',
    code: 'limit-exceeded',
  },
  'a share of a refund that is a cent off': {
    of: 'full order',
    async plant(database, id) {
      const cent: Forgery['state'] = (order) => {
        order.refunds[0].lines[0].amount = more(order.refunds[0].lines[0].amount);
        order.refunds[0].amount = more(order.refunds[0].amount);
        order.refunded = more(order.refunded);
      };
      await forgeEvents(database, id, ...inVersions([5, 6], cent));
      await tamper(
        database,
        [update('order_refund_lines', 'amount = amount + 1'), id],
        [update('order_ledger', 'amount = amount + 1', `order_id = $1 AND kind = 'refund'`), id],
        [update('orders', 'refunded = refunded + 1', 'id = $1'), id],
      );
    },
    where: '/refunds/0/lines/0/amount',
    code: 'fold-differs',
  },
  'a tax that is a cent off, everywhere': {
    of: 'placed order',
    async plant(database, id) {
      const cent: Forgery['state'] = (order) => {
        for (const sum of [order, order.lines[0]])
          Object.assign(sum, { tax: more(sum.tax), total: more(sum.total) });
      };
      await forgeEvents(database, id, { version: 1, state: cent });
      await tamper(
        database,
        [update('order_lines', 'tax = tax + 1, total = total + 1', 'order_id = $1 AND position = 1'), id],
        [update('orders', 'tax = tax + 1, total = total + 1', 'id = $1'), id],
      );
    },
    where: '/lines/0/tax',
    code: 'fold-differs',
  },
  'an order of a customer who is not there': {
    of: 'placed order',
    async plant(database, id) {
      const userId = randomUUID();
      await forgeEvents(database, id, { version: 1, state: (order) => (order.userId = userId) });
      await tamper(database, [update('orders', 'user_id = $2', 'id = $1'), id, userId]);
    },
    where: '/userId',
    code: 'row-stray',
  },
  'an event without its change': {
    of: 'placed order',
    plant: (database, id) => appendEvent(database, id, 'order.updated'),
    where: '/version',
    code: 'event-unexpected',
  },
  'a move that the life cycle does not have': {
    of: 'placed order',
    async plant(database, id) {
      await appendEvent(database, id, 'order.completed', (order) => (order.status = 'completed'));
      await tamper(database, [update('orders', `status = 'completed', version = 2`, 'id = $1'), id]);
    },
    where: '/status',
    code: 'illegal-transition',
  },
  'a payment that is in no ledger': {
    of: 'placed order',
    async plant(database, id) {
      await appendEvent(database, id, 'order.paid');
      await tamper(database, [update('orders', 'version = 2', 'id = $1'), id]);
    },
    where: '/payments',
    code: 'posting-missing',
  },
  'goods sent out of an order that is not confirmed': {
    of: 'placed order',
    async plant(database, id) {
      await appendEvent(database, id, 'order.fulfilled', (order) => {
        order.fulfillments = [
          {
            version: 2,
            at: order.updatedAt,
            carrier: null,
            trackingNumber: null,
            lines: [{ position: 2, quantity: 1 }],
          },
        ];
        order.lines[1].fulfilled = 1;
        order.fulfillmentStatus = 'partially_fulfilled';
      });
      const row = { order_id: id, order_version: 2 };
      const [{ at } = { at: '' }] = await database.query<{ at: Date | string }>(
        'SELECT updated_at AS at FROM orders WHERE id = $1',
        [id],
      );
      await tamper(
        database,
        insert('order_fulfillments', { ...row, at }),
        insert('order_fulfillment_lines', { ...row, position: 2, quantity: 1 }),
        [update('orders', `version = 2, fulfillment_status = 'partially_fulfilled'`, 'id = $1'), id],
      );
    },
    where: '/status',
    code: 'illegal-transition',
  },
  'a note that a confirmation has changed': {
    of: 'full order',
    async plant(database, id) {
      await forgeEvents(
        database,
        id,
        ...inVersions([2, 3, 4, 5, 6], (order) => (order.note = 'another noted note')),
      );
      await tamper(database, [update('orders', `note = 'another noted note'`, 'id = $1'), id]);
    },
    where: '/note',
    code: 'fold-differs',
  },
  'a hold that forgets where the order was': {
    of: 'full order',
    async plant(database, id) {
      await forgeEvents(database, id, { version: 6, state: (order) => (order.hold.from = 'placed') });
      await tamper(database, [update('orders', `held_from = 'placed'`, 'id = $1'), id]);
    },
    where: '/hold/from',
    code: 'fold-differs',
  },
  'a placement long ago': {
    of: 'full order',
    async plant(database, id) {
      await forgeEvents(database, id, ...inVersions([6], (order) => (order.createdAt = AT)));
      await tamper(database, [update('orders', 'created_at = $2', 'id = $1'), id, AT]);
    },
    where: '/createdAt',
    code: 'fold-differs',
  },
  'a change that is older than the one before': {
    of: 'user',
    async plant(database, id) {
      await forgeEvents(database, id, { version: 3, state: (user) => (user.updatedAt = AT) });
      await tamper(database, [update('users', 'updated_at = $2', 'id = $1'), id, AT]);
    },
    where: 'audit_events.seq',
    code: 'event-out-of-order',
  },
  'a role that nobody gave': {
    of: 'user',
    async plant(database, id) {
      await appendEvent(database, id, 'user.updated', (user) => (user.role = 'admin'));
      await tamper(database, [update('users', `role = 'admin', version = 4`, 'id = $1'), id]);
    },
    where: '/role',
    code: 'fold-differs',
  },
  'a user reinstated who was not suspended': {
    of: 'user',
    async plant(database, id) {
      await appendEvent(database, id, 'user.reinstated');
      await tamper(database, [update('users', 'version = 4', 'id = $1'), id]);
    },
    where: '/status',
    code: 'illegal-transition',
  },
  'a second creation': {
    of: 'user',
    async plant(database, id) {
      await appendEvent(database, id, 'user.created');
      await tamper(database, [update('users', 'version = 4', 'id = $1'), id]);
    },
    where: 'audit_events.action',
    code: 'illegal-transition',
  },
  'a scope that a revocation gave': {
    of: 'api-key',
    async plant(database, id) {
      await forgeEvents(database, id, { version: 2, state: (key) => key.scopes.push('users:write') });
      await tamper(database, [update('api_keys', `scopes = scopes || ARRAY['users:write']`, 'id = $1'), id]);
    },
    where: '/scopes/1',
    code: 'fold-differs',
  },
  'a key revoked twice': {
    of: 'api-key',
    async plant(database, id) {
      await appendEvent(database, id, 'api-key.revoked');
      await tamper(database, [update('api_keys', 'version = 3', 'id = $1'), id]);
    },
    where: '/revokedAt',
    code: 'illegal-transition',
  },

  'a user deleted': remove('users', 'user', 'id = $1', 'row-missing', 'users'),
  'a key deleted': remove('api_keys', 'api-key', 'id = $1', 'row-missing', 'api_keys'),
  'an order deleted': remove('orders', 'placed order', 'id = $1', 'row-missing', 'order_lines'),
  'a line deleted': remove(
    'order_lines',
    'placed order',
    'order_id = $1 AND position = 2',
    'row-differs',
    '/lines/1',
  ),
  'all lines deleted': remove('order_lines', 'placed order', 'order_id = $1', 'line-missing', '/lines'),
  'a payment deleted': remove(
    'order_ledger',
    'full order',
    `order_id = $1 AND kind = 'payment'`,
    'fold-differs',
    '/paid',
  ),
  'a refund deleted': remove(
    'order_ledger',
    'full order',
    `order_id = $1 AND kind = 'refund'`,
    'row-stray',
    'order_refund_lines.order_version',
  ),
  'units of a refund deleted': remove(
    'order_refund_lines',
    'full order',
    'order_id = $1',
    'row-differs',
    '/refunds/0/lines/0',
  ),
  'a fulfillment deleted': remove(
    'order_fulfillments',
    'full order',
    'order_id = $1',
    'row-stray',
    'order_fulfillment_lines.order_version',
  ),
  'units of a fulfillment deleted': remove(
    'order_fulfillment_lines',
    'full order',
    'order_id = $1',
    'line-missing',
    '/fulfillments/0/lines',
  ),
  'the first event deleted': remove(
    'audit_events',
    'user',
    'subject_id = $1 AND subject_version = 1',
    'event-missing',
    '/version',
  ),
  'an event deleted': remove(
    'audit_events',
    'user',
    'subject_id = $1 AND subject_version = 2',
    'event-missing',
    '/version',
  ),
  'the newest event deleted': remove(
    'audit_events',
    'user',
    'subject_id = $1 AND subject_version = 3',
    'event-missing',
    '/version',
  ),

  'a line added': {
    of: 'placed order',
    plant: (database, id) => tamper(database, insert('order_lines', lineRow(id, { position: 3 }))),
    where: '/lines/2',
    code: 'row-differs',
  },
  'a payment added': {
    of: 'full order',
    plant: (database, id) =>
      tamper(
        database,
        insert('order_ledger', {
          order_id: id,
          order_version: 2,
          kind: 'payment',
          amount: 5,
          provider: 'a-provider',
          provider_reference: id,
          at: AT,
        }),
      ),
    where: '/payments/1',
    code: 'row-differs',
  },
  'a line of no order': stray('order_lines', lineRow('')),
  'a ledger of no order': stray('order_ledger', {
    order_version: 2,
    kind: 'refund',
    amount: 1,
    reason: 'a held reason',
    at: AT,
  }),
  'units refunded of no order': stray('order_refund_lines', {
    order_version: 2,
    position: 1,
    quantity: 1,
    amount: 1,
  }),
  'a fulfillment of no order': stray('order_fulfillments', { order_version: 2, at: AT }),
  'units sent out of no order': stray('order_fulfillment_lines', {
    order_version: 2,
    position: 1,
    quantity: 1,
  }),

  'a sign-in of nobody': {
    of: 'user',
    async plant(database) {
      const id = randomUUID();
      await appendOccurrence(database, 'user.signed-in', id);
      return id;
    },
    where: 'users',
    code: 'row-missing',
  },
  'a change that is told as if it changed nothing': {
    of: 'user',
    async plant(database, id) {
      await appendOccurrence(database, 'user.role-changed', id);
    },
    where: 'audit_events.action',
    code: 'unknown-action',
  },
  'an action that there is not': {
    of: 'user',
    async plant(database, id) {
      await appendEvent(database, id, 'user.crowned');
      await tamper(database, [update('users', 'version = 4', 'id = $1'), id]);
    },
    where: 'audit_events.action',
    code: 'unknown-action',
  },
  'an event of something that there is not': {
    of: 'user',
    async plant(database) {
      await appendOccurrence(database, 'ghost.seen', null);
      const id = randomUUID();
      await appendOccurrence(database, 'ghost.seen', id);
      return id;
    },
    where: '',
    code: 'row-missing',
  },

  'a state without its salt': {
    of: 'user',
    plant: (database, id) =>
      tamper(database, [
        update('audit_events', 'salt = NULL', 'subject_id = $1 AND subject_version = 2'),
        id,
      ]),
    where: 'audit_events.salt',
    code: 'state-missing',
  },
  'a salt without its state': {
    of: 'user',
    plant: (database, id) =>
      tamper(database, [
        update('audit_events', 'state = NULL', 'subject_id = $1 AND subject_version = 2'),
        id,
      ]),
    where: 'audit_events.state',
    code: 'state-missing',
  },
  'a state and its salt gone, of somebody who was not erased': {
    of: 'user',
    plant: (database, id) =>
      tamper(database, [
        update('audit_events', 'state = NULL, salt = NULL', 'subject_id = $1 AND subject_version = 2'),
        id,
      ]),
    where: 'audit_events.state',
    code: 'state-missing',
  },
  'states that an erasure has not removed': {
    of: 'user',
    plant: eraseByHand,
    where: 'audit_events.state',
    code: 'state-not-erased',
  },
  'a salt that an erasure has not removed': {
    of: 'user',
    async plant(database, id) {
      await eraseByHand(database, id);
      await tamper(database, [
        update('audit_events', 'state = NULL', 'subject_id = $1 AND subject_version < 3'),
        id,
      ]);
    },
    where: 'audit_events.salt',
    code: 'state-not-erased',
  },
  'the state of an erasure itself gone with the others': {
    of: 'user',
    async plant(database, id) {
      await eraseByHand(database, id);
      await tamper(database, [update('audit_events', 'state = NULL, salt = NULL', 'subject_id = $1'), id]);
    },
    where: 'audit_events.state',
    code: 'state-missing',
  },
  'a state with a member more, in canonical JSON': {
    of: 'user',
    plant: (database, id) =>
      forgeEvents(database, id, { version: 3, state: (user) => (user['Ada Lovelace'] = 1) }),
    where: '',
    code: 'row-differs',
  },
  'a state that is none': {
    of: 'full order',
    plant: (database, id) =>
      forgeEvents(database, id, { version: 3, state: (order) => (order.lines = null) }),
    where: 'audit_events.state',
    code: 'state-unreadable',
  },
  'an entry with a space more': {
    of: 'user',
    plant: (database, id) =>
      tamper(database, [
        update('audit_events', `entry = entry || ' '`, 'subject_id = $1 AND subject_version = 2'),
        id,
      ]),
    where: 'audit_events.entry',
    code: 'entry-not-canonical',
  },
  'an entry with a member more': {
    of: 'user',
    plant: (database, id) =>
      tamper(database, [
        update(
          'audit_events',
          `entry = substr(entry, 1, octet_length(entry) - 1) || ',"w":1}'`,
          'subject_id = $1 AND subject_version = 2',
        ),
        id,
      ]),
    where: 'audit_events.entry',
    code: 'entry-not-canonical',
  },
  'an entry of another format': {
    of: 'user',
    plant: (database, id) =>
      tamper(database, [
        update(
          'audit_events',
          `entry = convert_to(replace(convert_from(entry, 'UTF8'), '"v":1', '"v":2'), 'UTF8')`,
          'subject_id = $1 AND subject_version = 2',
        ),
        id,
      ]),
    where: 'audit_events.entry',
    code: 'entry-not-canonical',
  },
  'a time that no clock shows': {
    of: 'placed order',
    plant: (database, id) => tamper(database, [update('orders', `placed_at = 'infinity'`, 'id = $1'), id]),
    where: '',
    code: 'row-unreadable',
  },
};
