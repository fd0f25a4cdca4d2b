import { Injectable } from '@nestjs/common';
import { History, type Moment } from '../audit/history.js';
import { type Origin, timeOfChange } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import type { Slice } from '../database/keyset.js';
import type { Transaction } from '../database/transaction.js';
import { single, WritePath, type Written } from '../database/write-path.js';
import { type Access, reaches } from '../http/access.js';
import { isMetadata } from '../http/validators.js';
import type { Precondition } from '../http/preconditions.js';
import { invalid, notFound } from '../problems/problem.js';
import { Order, OrderLine } from './order.entity.js';
import { orderState, type OrderState } from './order.events.js';
import type { OrderQuery, PlaceOrder, UpdateOrder } from './orders.dto.js';
import { OrdersRepository } from './orders.repository.js';
import { type Placement, placeOrders, preparePlacement } from './place-orders.js';
import { type OrderCommander, statusAfter } from './status.js';

@Injectable()
export class OrdersService {
  constructor(
    private readonly orders: OrdersRepository,
    private readonly history: History,
    private readonly writePath: WritePath,
  ) {}

  /** Places one order: a list of one. */
  async place(
    input: PlaceOrder,
    { access, origin }: Request,
    request: IdempotentRequest,
  ): Promise<Written<'order.placed'>> {
    const write = { input: preparePlacement(input, access), origin, request };
    return single(await this.writePath.writeAll<'order.placed', Placement>([write], placeOrders));
  }

  /** The order as it is now, or as it was at a moment; `not-found` when there is or was none for this caller. */
  async get(id: string, moment: Moment | undefined, access: Access): Promise<OrderState> {
    const order =
      moment === undefined
        ? (await this.orders.find([id]))[0]
        : await this.history.stateAt('order', id, moment);
    if (order === undefined || !reaches(access, order.userId)) throw notFound();
    return order;
  }

  /** One page of orders, newest first, and where the next one starts. */
  async list(query: OrderQuery, after: string | undefined, access: Access): Promise<Slice<OrderState>> {
    return this.orders.page(query, after, access.reach === 'own' ? access.actor.id : undefined);
  }

  /** Changes note and metadata by a merge patch; a patch that changes nothing makes no version. */
  async update(
    id: string,
    patch: UpdateOrder,
    precondition: Precondition,
    { access, origin }: Request,
  ): Promise<Written<'order.updated'>> {
    return this.writePath.write<'order.updated'>(origin, undefined, async (tx) => {
      const order = await lockOrder(tx, id, precondition, access);
      const note = patch.note === undefined ? order.note : patch.note;
      const metadata = patchMetadata(order.metadata, patch.metadata);
      if (note === order.note && sameMembers(metadata, order.metadata))
        return { unchanged: orderState(order) };
      return { action: 'order.updated', state: await changeOrder(tx, order, { note, metadata }) };
    });
  }

  /** Cancels an order; `illegal-transition` when its status does not allow it. */
  async cancel(
    id: string,
    precondition: Precondition,
    { access, origin }: Request,
    request: IdempotentRequest | undefined,
  ): Promise<Written<'order.cancelled'>> {
    return this.writePath.write<'order.cancelled'>(origin, request, async (tx) => {
      const order = await lockOrder(tx, id, precondition, access);
      const status = statusAfter(order.status, 'cancel', commanderOf(access));
      return { action: 'order.cancelled', state: await changeOrder(tx, order, { status }) };
    });
  }
}

/** Who asks for a change of an order, in which request. */
interface Request {
  readonly access: Access;
  readonly origin: Origin;
}

/** As whom the caller gives commands. */
export function commanderOf({ reach, role, scopes }: Access): OrderCommander | undefined {
  if (reach === 'own') return 'customer';
  return role !== null || scopes.includes('orders:write') ? 'staff' : undefined;
}

/** The order with its lines, its row locked against other changes until the transaction ends. */
async function lockOrder(
  tx: Transaction,
  id: string,
  precondition: Precondition,
  access: Access,
): Promise<Order> {
  const order = await tx.findOne(Order, { where: { id }, lock: { mode: 'for_no_key_update' } });
  if (order === null || !reaches(access, order.userId)) throw notFound();
  precondition.require(order.version);
  return { ...order, lines: await tx.findBy(OrderLine, { orderId: id }) };
}

/** Writes the next version of a locked order and returns its state. */
async function changeOrder(
  tx: Transaction,
  order: Order,
  members: Partial<Pick<Order, 'status' | 'note' | 'metadata'>>,
): Promise<OrderState> {
  const change = { ...members, version: order.version + 1, updatedAt: timeOfChange(order.updatedAt) };
  await tx.update(Order, { id: order.id }, change);
  return orderState({ ...order, ...change });
}

/** RFC 7396 for flat metadata: null removes a member, null altogether removes all. */
function patchMetadata(metadata: Order['metadata'], patch: UpdateOrder['metadata']): Order['metadata'] {
  if (patch === undefined) return metadata;
  const members = Object.entries({ ...metadata, ...patch }).filter(
    (member): member is [string, string] => member[1] !== null,
  );
  const patched = patch === null ? {} : Object.fromEntries(members);
  if (!isMetadata(patched)) {
    throw invalid([
      { pointer: '/metadata', code: 'is-metadata', detail: 'metadata would have more than 50 members' },
    ]);
  }
  return patched;
}

function sameMembers(a: Order['metadata'], b: Order['metadata']): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
