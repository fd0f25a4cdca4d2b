import { Body, Controller, Get, Header, HttpCode, Post, Res } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Response } from 'express';
import type { ServiceConfig } from '../config/config.js';
import type { Origin } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { type Access, CurrentAccess, Requires } from '../http/access.js';
import { Id, IdParameter } from '../http/id.js';
import { OptionalKey } from '../http/idempotency-key.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { IfMatch, type Precondition } from '../http/preconditions.js';
import { Reply } from '../http/reply.js';
import { sendTexts } from '../http/stream.js';
import { Costly } from '../limits/decorators.js';
import { toResponse, UserCommand, UserResponse } from '../users/users.dto.js';
import { Erasure } from './erasure.js';
import { UserExport } from './user-export.js';
import { UserExportResponse } from './user-export.dto.js';

@ApiTags('Users')
@Controller('v1/users')
export class PersonalDataController {
  private readonly stallTimeoutMs: number;

  constructor(
    private readonly erasure: Erasure,
    private readonly exports: UserExport,
    config: ConfigService<ServiceConfig, true>,
  ) {
    this.stallTimeoutMs = config.get('EXPORT_STALL_TIMEOUT_MS', { infer: true });
  }

  @Post(':id/erase')
  @HttpCode(200)
  @Requires('users:erase')
  @IdParameter('users')
  @Operation({
    summary: 'Erase a person, for ever',
    description:
      'Name and e-mail address give way to `Erased user` and `<id>@erased.invalid`, here and in the history, of which ' +
      'the states before are removed. Sessions, password and tokens are gone; the address may be registered anew. ' +
      "Orders stay, with the user's id, and are dealt with as before. Erasing again changes nothing.",
    answer: UserResponse,
    subject: true,
    body: { type: UserCommand, example: {}, optional: true },
    key: 'optional',
    ifMatch: 'optional',
    problems: ['not-found', 'last-admin'],
  })
  async erase(
    @Id() id: string,
    @Body() _body: UserCommand,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<UserResponse>> {
    const { state, replayed } = await this.erasure.erase(id, precondition, { access, origin }, key);
    return new Reply(toResponse(state), { replayed });
  }

  @Get(':id/export')
  @Requires('users:export')
  @Costly()
  @Header('Cache-Control', 'no-store')
  @IdParameter('users')
  @Operation({
    summary: 'Export all that is stored about a person',
    description:
      'One JSON document to save; neither secrets nor their hashes are in it. The answer is complete if it ends as HTTP ' +
      'says; one that breaks off is not. That there was an export is on the record.',
    answer: UserExportResponse,
    file: { 'application/json': { $ref: getSchemaPath(UserExportResponse) } },
    problems: ['not-found'],
  })
  async export(
    @Id() id: string,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @Res() response: Response,
  ): Promise<void> {
    const texts = await this.exports.start(id, access, origin);
    response.type('json').set('Content-Disposition', `attachment; filename="user-${id}.json"`);
    if (response.req.method === 'HEAD') response.end();
    else await sendTexts(response, texts, this.stallTimeoutMs);
  }
}
