import { type Access, reaches } from '../http/access.js';
import { Reply } from '../http/reply.js';
import { notFound } from '../problems/problem.js';
import { commanderOf } from './locked-order.js';
import type { OrderState } from './order.events.js';
import { type OrderResponse, toResponse } from './order.response.dto.js';

/**
 * The order as this caller sees it; what they may do with it is part of the answer, and so of its ETag. `not-found` when
 * they may not see it: a replay can have been answered to them when they saw more.
 */
export function orderReply(
  { state, replayed }: { readonly state: OrderState; readonly replayed?: boolean },
  access: Access,
  location?: string,
): Reply<OrderResponse> {
  if (!reaches(access, state.userId)) throw notFound();
  const by = commanderOf(access);
  return new Reply(toResponse(state, by), {
    ...(replayed !== undefined && { replayed }),
    ...(location !== undefined && { location }),
    variant: by === 'staff' ? undefined : (by ?? 'reader'),
  });
}
