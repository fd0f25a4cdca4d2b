import {
  ConflictException,
  ForbiddenException,
  Inject,
  Injectable,
  NotFoundException,
  UnprocessableEntityException,
} from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, type EntityManager, LessThan, QueryFailedError, Repository } from 'typeorm';
import { auditEvent, fingerprint } from '../rules/audit.js';
import { type Caller, reachesAll } from '../rules/environment.js';
import { newOrder, orderState, type OrderState } from '../rules/orders.js';
import { AuditEvent, IdempotencyKey, Order, OrderLine } from './entities.js';
import type { PlaceOrderDto } from './orders.dto.js';
import { ENVIRONMENT, type Environment, type SignedInRequest } from './request.js';

@Injectable()
export class OrdersService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    @Inject(ENVIRONMENT) private readonly environment: Environment,
  ) {}

  /** Stores the order with its lines, event and key in one transaction; a repetition gets what the first one got. */
  async place(
    body: PlaceOrderDto,
    key: string,
    { id: requestId, user, method, originalUrl }: SignedInRequest,
  ): Promise<{ state: OrderState; replayed: boolean }> {
    const userId = body.userId ?? user.sub;
    if (userId !== user.sub && !reachesAll(user)) throw new ForbiddenException();
    const order = newOrder(userId, body);
    const state = orderState(order);
    const subject = { subjectType: 'order', subjectId: order.id, actorId: user.sub };
    const event = auditEvent({ action: 'order.placed', ...subject, requestId, state });
    const request = {
      scope: user.sub,
      key,
      fingerprint: fingerprint(this.environment.secret, method, originalUrl, body),
      eventId: event.id,
    };
    try {
      return await this.dataSource.transaction(async (manager) => {
        const first = await takeKey(manager, request);
        if (first !== undefined) return { state: first, replayed: true };
        await manager.insert(Order, order);
        await manager.insert(OrderLine, order.lines);
        await manager.insert(AuditEvent, event);
        return { state, replayed: false };
      });
    } catch (error) {
      throw explain(error);
    }
  }

  async get(id: string, caller: Caller): Promise<Order> {
    const order = await this.orders.findOne({ where: { id }, relations: { lines: true } });
    if (order === null || (order.userId !== caller.sub && !reachesAll(caller))) throw new NotFoundException();
    return order;
  }

  /** So many orders of the user, or of all, that come after the order `after`, newest first. */
  async list(userId: string | undefined, after: string | undefined, limit: number): Promise<Order[]> {
    return this.orders.find({
      where: { ...(userId !== undefined && { userId }), ...(after !== undefined && { id: LessThan(after) }) },
      relations: { lines: true },
      order: { id: 'DESC' },
      take: limit,
    });
  }
}

/** Takes the key; answers what an earlier request with it has left. */
async function takeKey(manager: EntityManager, request: IdempotencyKey): Promise<OrderState | undefined> {
  const taken = await manager
    .createQueryBuilder()
    .insert()
    .into(IdempotencyKey)
    .values(request)
    .orIgnore()
    .returning('key')
    .execute();
  if ((taken.raw as unknown[]).length > 0) return undefined;
  const { scope, key } = request;
  const { fingerprint: earlier, eventId } = await manager.findOneByOrFail(IdempotencyKey, { scope, key });
  if (!earlier.equals(request.fingerprint)) throw new UnprocessableEntityException();
  const { state } = await manager.findOneByOrFail(AuditEvent, { id: eventId });
  return JSON.parse(String(state)) as OrderState;
}

/** What stands in the way of an order: an unknown user, or a reference that the user has given before. */
function explain(error: unknown): unknown {
  if (!(error instanceof QueryFailedError)) return error;
  const { constraint } = error.driverError as { constraint?: string };
  if (constraint === 'orders_user_fkey') return new UnprocessableEntityException();
  if (constraint === 'orders_reference_key') return new ConflictException();
  return error;
}
