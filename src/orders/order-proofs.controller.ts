import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { PROOF_MEDIA, ProofResponse } from '../audit/serving/log.dto.js';
import { Proofs } from '../audit/serving/proofs.js';
import { type Access, CurrentAccess, Requires } from '../http/access.js';
import { Id, IdParameter } from '../http/id.js';
import { Preferred } from '../http/negotiation.js';
import { Operation } from '../http/operation.js';
import type { Reply } from '../http/reply.js';
import { OrdersService } from './orders.service.js';

@ApiTags('Orders')
@Controller('v1/orders')
export class OrderProofsController {
  constructor(
    private readonly orders: OrdersService,
    private readonly proofs: Proofs,
  ) {}

  @Get(':id/events/:eventId/proof')
  @Requires('orders:read')
  @IdParameter('orders')
  @IdParameter('orders/events', 'eventId')
  @Operation({
    summary: 'The proof that an event of an order is in the log',
    description:
      'Against the newest checkpoint, with the state that the event left. The entry is whole, for its bytes are what is ' +
      'hashed: it also names who acted, and in which request. As text it is a c2sp.org/tlog-proof with the entry as its ' +
      '`extra`.',
    answer: ProofResponse,
    media: ['text/plain'],
    problems: ['not-found', 'not-sealed'],
  })
  async proof(
    @Id() id: string,
    @Id('eventId') eventId: string,
    @CurrentAccess() access: Access,
    @Preferred(PROOF_MEDIA) accepted: string,
  ): Promise<Reply<ProofResponse | string>> {
    await this.orders.get(id, undefined, access);
    return this.proofs.reply(eventId, accepted, { subject: { type: 'order', id }, readsStates: () => true });
  }
}
