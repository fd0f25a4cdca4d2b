import type pg from 'pg';
import { createPool } from '../peers/fastify-pg/database.js';
import { findOrder, listOrders, placeOrder } from '../peers/fastify-pg/orders.store.js';
import { findUser } from '../peers/fastify-pg/users.routes.js';
import { auditEvent, fingerprint } from '../peers/rules/audit.js';
import { newOrder, orderState, type Placement } from '../peers/rules/orders.js';
import type { Extent, Load } from '../load.js';
import type { BenchRequest } from '../workloads.js';

/**
 * The floor of the database: the statements of fastify-pg from a loop in this process, without HTTP, tokens, validation
 * and log. Takes the same requests; a sign-in is not among them, as it is the password that takes the time.
 */
export class DatabaseFloor {
  private readonly pool: pg.Pool;

  constructor(
    url: string,
    private readonly callerId: string,
  ) {
    this.pool = createPool(url);
  }

  /** As many loops as connections, on a pool of the size that the contenders have. */
  async drive(
    next: () => BenchRequest,
    connections: number,
    extent: Extent,
    signal: AbortSignal,
  ): Promise<Load> {
    const latencies: number[] = [];
    const started = performance.now();
    const isOver = () =>
      performance.now() - started >= extent.seconds * 1_000 && latencies.length >= extent.requests;
    const loop = async () => {
      while (!isOver() && !signal.aborted) {
        const begun = performance.now();
        await this.carryOut(next());
        latencies.push(performance.now() - begun);
      }
    };
    await Promise.all(Array.from({ length: connections }, loop));
    signal.throwIfAborted();
    return {
      seconds: (performance.now() - started) / 1_000,
      latencies: Float64Array.from(latencies).sort(),
      failures: '',
    };
  }

  close(): Promise<void> {
    return this.pool.end();
  }

  private async carryOut({ method, path, headers, body = '' }: BenchRequest): Promise<unknown> {
    const { pathname, searchParams } = new URL(path, 'http://localhost');
    const id = pathname.slice(pathname.lastIndexOf('/') + 1);
    if (method === 'POST') return this.place(JSON.parse(body) as Placement, headers['idempotency-key'] ?? '');
    if (pathname.startsWith('/v1/users/')) return findUser(this.pool, id);
    if (pathname.startsWith('/v1/orders/')) return findOrder(this.pool, id);
    return listOrders(this.pool, searchParams.get('userId') ?? undefined, undefined, 21);
  }

  private async place(body: Placement, key: string): Promise<unknown> {
    const order = newOrder(body.userId ?? this.callerId, body);
    const subject = { subjectType: 'order', subjectId: order.id, actorId: this.callerId };
    const state = orderState(order);
    const event = auditEvent({ action: 'order.placed', ...subject, requestId: order.id, state });
    const print = fingerprint('floor', 'POST', '/v1/orders', body);
    return placeOrder(this.pool, order, event, { scope: this.callerId, key, fingerprint: print });
  }
}
