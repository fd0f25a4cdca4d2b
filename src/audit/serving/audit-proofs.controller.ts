import { Controller, Get } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { type Access, CurrentAccess, readsStates, Requires } from '../../http/access.js';
import { Id, IdParameter } from '../../http/id.js';
import { Preferred } from '../../http/negotiation.js';
import { Operation } from '../../http/operation.js';
import type { Reply } from '../../http/reply.js';
import { PROOF_MEDIA, ProofResponse } from './log.dto.js';
import { Proofs } from './proofs.js';

@ApiTags('Audit')
@Controller('v1/audit/events')
@Requires('audit:read')
export class AuditProofsController {
  constructor(private readonly proofs: Proofs) {}

  @Get(':id/proof')
  @IdParameter('audit/events')
  @Operation({
    summary: 'The proof that an event is in the log',
    description:
      'Against the newest checkpoint. As text it is a c2sp.org/tlog-proof with the entry as its `extra`. The state and ' +
      'its salt are for whoever may also read all subjects of its type.',
    answer: ProofResponse,
    media: ['text/plain'],
    problems: ['not-found', 'not-sealed'],
  })
  async proof(
    @Id() id: string,
    @CurrentAccess() access: Access,
    @Preferred(PROOF_MEDIA) accepted: string,
  ): Promise<Reply<ProofResponse | string>> {
    return this.proofs.reply(id, accepted, { readsStates: (type) => readsStates(access, type) });
  }
}
