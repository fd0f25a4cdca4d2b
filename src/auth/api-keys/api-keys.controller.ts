import { Body, Controller, Delete, Get, Header, HttpCode, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { EventResponse } from '../../audit/history.dto.js';
import { History } from '../../audit/history.js';
import type { Origin } from '../../database/event.js';
import type { IdempotentRequest } from '../../database/idempotency.js';
import { Requires } from '../../http/access.js';
import { Cursors, type Page } from '../../http/cursors.js';
import { Id, IdParameter } from '../../http/id.js';
import { OptionalKey } from '../../http/idempotency-key.js';
import { Operation } from '../../http/operation.js';
import { RequestOrigin } from '../../http/origin.js';
import { PageQuery } from '../../http/page.dto.js';
import { IfMatch, type Precondition } from '../../http/preconditions.js';
import { Reply } from '../../http/reply.js';
import { summarizeApiKeyEvent } from './api-key.events.js';
import { ApiKeyResponse, CreateApiKey, CreatedApiKeyResponse, toResponse } from './api-keys.dto.js';
import { ApiKeys } from './api-keys.service.js';

@ApiTags('API keys')
@Controller('v1/api-keys')
@Requires('api-keys:manage')
export class ApiKeysController {
  constructor(
    private readonly keys: ApiKeys,
    private readonly history: History,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Header('Cache-Control', 'no-store')
  @Operation({
    summary: 'Create an API key, which is shown this once',
    description:
      'Only a hash of the key is stored: a repetition with the same Idempotency-Key answers without `key`. ' +
      'Two keys of a name can be unrevoked at a time: create the second, put it in place, revoke the first.',
    answer: CreatedApiKeyResponse,
    creates: true,
    subject: true,
    body: { type: CreateApiKey, example: { name: 'warehouse', scopes: ['orders:read'] } },
    key: 'optional',
    problems: ['already-exists'],
  })
  async create(
    @Body() body: CreateApiKey,
    @RequestOrigin() origin: Origin,
    @OptionalKey() request: IdempotentRequest | undefined,
  ): Promise<Reply<CreatedApiKeyResponse>> {
    const { state, replayed, token } = await this.keys.create(body, origin, request);
    const answer = { ...(token !== undefined && { key: token }), ...toResponse(state) };
    return new Reply(answer, { replayed, location: `/v1/api-keys/${state.id}` });
  }

  @Get()
  @Operation({
    summary: 'List API keys, newest first',
    answer: ApiKeyResponse,
    page: true,
    query: true,
    problems: ['invalid-cursor'],
  })
  async list(@Query() query: PageQuery): Promise<Page<ApiKeyResponse>> {
    const { data, next } = await this.keys.list(query, this.cursors.read('api keys', query));
    return this.cursors.page('api keys', query, data.map(toResponse), next);
  }

  @Get(':id')
  @IdParameter('api-keys')
  @Operation({ summary: 'Get an API key', answer: ApiKeyResponse, subject: true, problems: ['not-found'] })
  async get(@Id() id: string): Promise<ApiKeyResponse> {
    return toResponse(await this.keys.get(id));
  }

  @Delete(':id')
  @HttpCode(204)
  @IdParameter('api-keys')
  @Operation({
    summary: 'Revoke an API key',
    description:
      'It is refused within five seconds, and stays in the list. Revoking it again changes nothing.',
    ifMatch: 'optional',
    problems: ['not-found'],
  })
  async revoke(
    @Id() id: string,
    @IfMatch('allowed') precondition: Precondition,
    @RequestOrigin() origin: Origin,
  ): Promise<void> {
    await this.keys.revoke(id, precondition, origin);
  }

  @Get(':id/events')
  @IdParameter('api-keys')
  @Operation({
    summary: 'What happened to an API key, oldest first',
    answer: EventResponse,
    page: true,
    query: true,
    problems: ['not-found', 'invalid-cursor'],
  })
  async events(@Id() id: string, @Query() query: PageQuery): Promise<Page<EventResponse>> {
    return this.history.page('api-key', id, query, summarizeApiKeyEvent);
  }
}
