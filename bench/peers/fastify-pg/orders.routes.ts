import type { FastifyPluginAsync } from 'fastify';
import pg from 'pg';
import { auditEvent, fingerprint } from '../rules/audit.js';
import { reachesAll } from '../rules/environment.js';
import { newOrder, orderResponse, orderState, type Placement } from '../rules/orders.js';
import { findOrder, listOrders, placeOrder } from './orders.store.js';
import { byId, keyHeader, order, orderPage, orderQuery, placement } from './schemas.js';

interface Options {
  readonly pool: pg.Pool;
  readonly secret: string;
}

export const orderRoutes: FastifyPluginAsync<Options> = async (app, { pool, secret }) => {
  app.post<{ Body: Placement; Headers: { 'idempotency-key': string } }>(
    '/v1/orders',
    { schema: { body: placement, headers: keyHeader, response: { 201: order } } },
    async (request, reply) => {
      const { body, user, method, url } = request;
      const userId = body.userId ?? user.sub;
      if (userId !== user.sub && !reachesAll(user)) return reply.code(403).send({ error: 'Not yours' });
      const placed = newOrder(userId, body);
      const state = orderState(placed);
      const event = auditEvent({
        action: 'order.placed',
        subjectType: 'order',
        subjectId: placed.id,
        actorId: user.sub,
        requestId: request.id,
        state,
      });
      const key = {
        scope: user.sub,
        key: request.headers['idempotency-key'],
        fingerprint: fingerprint(secret, method, url, body),
      };
      const first = await placeOrder(pool, placed, event, key).catch(explainConflict);
      if (typeof first === 'string') return reply.code(first === 'user' ? 422 : 409).send({ error: first });
      if (first !== undefined && !first.fingerprint.equals(key.fingerprint)) {
        return reply.code(422).send({ error: 'The key belongs to another request' });
      }
      if (first !== undefined) void reply.header('Idempotency-Replayed', 'true');
      const answer = first?.state ?? state;
      return reply
        .code(201)
        .header('Location', `/v1/orders/${answer.id}`)
        .send(orderResponse(answer, user.role));
    },
  );

  app.get<{ Params: { id: string } }>(
    '/v1/orders/:id',
    { schema: { params: byId, response: { 200: order } } },
    async ({ params, user }, reply) => {
      const found = await findOrder(pool, params.id);
      if (found === undefined || (found.userId !== user.sub && !reachesAll(user))) {
        return reply.code(404).send({ error: 'Not found' });
      }
      return orderResponse(orderState(found), user.role);
    },
  );

  app.get<{ Querystring: { userId?: string; limit: number; cursor?: string } }>(
    '/v1/orders',
    { schema: { querystring: orderQuery, response: { 200: orderPage } } },
    async ({ query: { userId, limit, cursor }, user }) => {
      const after = cursor === undefined ? undefined : Buffer.from(cursor, 'base64url').toString();
      const rows = await listOrders(pool, reachesAll(user) ? userId : user.sub, after, limit + 1);
      const page = rows.slice(0, limit);
      const last = rows.length > limit ? page.at(-1) : undefined;
      return {
        data: page.map((row) => orderResponse(orderState(row), user.role)),
        nextCursor: last === undefined ? null : Buffer.from(last.id).toString('base64url'),
      };
    },
  );
};

/** What stands in the way of an order: an unknown user, or a reference that the user has given before. */
function explainConflict(error: unknown): 'user' | 'reference' {
  if (error instanceof pg.DatabaseError && error.constraint === 'orders_user_fkey') return 'user';
  if (error instanceof pg.DatabaseError && error.constraint === 'orders_reference_key') return 'reference';
  throw error;
}
