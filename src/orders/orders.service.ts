import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { CurrentStates } from '../audit/current-states.js';
import { History, type Moment } from '../audit/history.js';
import type { Origin } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import type { Slice } from '../database/keyset.js';
import type { Written } from '../database/outcomes.js';
import { WritePath } from '../database/write-path.js';
import { type Access, reaches } from '../http/access.js';
import { isMetadata } from '../http/validators.js';
import type { Precondition } from '../http/preconditions.js';
import { invalid, notFound } from '../problems/problem.js';
import { LockedOrder } from './locked-order.js';
import type { Order } from './order.entity.js';
import type { OrderState } from './order.events.js';
import type { OrderQuery, PlaceOrder, UpdateOrder } from './orders.dto.js';
import { preparePlacement } from './place-orders.js';
import { Placing } from './placing.js';
import { previewOrder } from './preview.js';
import type { PreviewResponse } from './preview.dto.js';
import { searchOrders } from './search.js';

@Injectable()
export class OrdersService {
  constructor(
    private readonly states: CurrentStates,
    private readonly history: History,
    private readonly writePath: WritePath,
    private readonly placing: Placing,
    private readonly dataSource: DataSource,
  ) {}

  /** Places one order; throws what `preparePlacement` and `placeOrders` answer. */
  async place(
    input: PlaceOrder,
    { access, origin }: Request,
    request: IdempotentRequest,
  ): Promise<Written<'order.placed'>> {
    return this.placing.place({ input: preparePlacement(input, access), origin, request });
  }

  /** What an order would come to; throws what placing it now would, and stores nothing. */
  async preview(input: PlaceOrder, access: Access): Promise<PreviewResponse> {
    return previewOrder(this.dataSource.manager, preparePlacement(input, access));
  }

  /** The order as it is now, or as it was at a moment; `not-found` when there is or was none for this caller. */
  async get(id: string, moment: Moment | undefined, access: Access): Promise<OrderState> {
    const order =
      moment === undefined
        ? await this.states.get('order', id)
        : await this.history.stateAt('order', id, moment);
    if (order === undefined || !reaches(access, order.userId)) throw notFound();
    return order;
  }

  /** One page of the orders that the caller may see, newest first, and where the next one starts. */
  async list(query: OrderQuery, after: string | undefined, access: Access): Promise<Slice<OrderState>> {
    const owner = access.reach === 'own' ? access.actor.id : undefined;
    return this.states.page('order', searchOrders(query, owner), query.limit, after);
  }

  /** Changes note and metadata by a merge patch; a patch that changes nothing makes no version. */
  async update(
    id: string,
    patch: UpdateOrder,
    precondition: Precondition,
    { access, origin }: Request,
  ): Promise<Written<'order.updated'>> {
    return this.writePath.write<'order.updated'>(origin, undefined, async (tx) => {
      const order = await LockedOrder.read(tx, id, precondition, access);
      const note = patch.note === undefined ? order.row.note : patch.note;
      const metadata = patchMetadata(order.row.metadata, patch.metadata);
      if (note === order.row.note && sameMembers(metadata, order.row.metadata))
        return { unchanged: order.state };
      return { action: 'order.updated', state: await order.change(order.next(), { note, metadata }) };
    });
  }
}

/** Who asks for a change of an order, in which request. */
export interface Request {
  readonly access: Access;
  readonly origin: Origin;
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
