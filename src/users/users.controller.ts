import { Body, Controller, Get, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { History } from '../audit/history.js';
import { EventResponse } from '../audit/history.dto.js';
import type { Origin } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { EXAMPLE_EMAIL } from '../http/examples.js';
import { Cursors, type Page } from '../http/cursors.js';
import { Id, IdParameter } from '../http/id.js';
import { OptionalKey } from '../http/idempotency-key.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { PageQuery } from '../http/page.dto.js';
import { IfMatch, type Precondition } from '../http/preconditions.js';
import { Reply } from '../http/reply.js';
import { summarizeUserEvent } from './user.events.js';
import { CreateUser, toResponse, UpdateUser, UserQuery, UserResponse } from './users.dto.js';
import { UsersService } from './users.service.js';

@ApiTags('Users')
@Controller('v1/users')
export class UsersController {
  constructor(
    private readonly users: UsersService,
    private readonly history: History,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Operation({
    summary: 'Create a user',
    answer: UserResponse,
    creates: true,
    subject: true,
    body: { type: CreateUser, example: { name: 'Ada Lovelace', email: EXAMPLE_EMAIL } },
    key: 'optional',
    problems: ['already-exists'],
  })
  async create(
    @Body() body: CreateUser,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<UserResponse>> {
    const { state, replayed } = await this.users.create(body, origin, key);
    return new Reply(toResponse(state), { replayed, location: `/v1/users/${state.id}` });
  }

  @Get()
  @Operation({
    summary: 'List users, newest first',
    answer: UserResponse,
    page: true,
    query: true,
    problems: ['invalid-cursor'],
  })
  async list(@Query() query: UserQuery): Promise<Page<UserResponse>> {
    const { data, next } = await this.users.list(query, this.cursors.read('users', query));
    return this.cursors.page('users', query, data.map(toResponse), next);
  }

  @Get(':id')
  @IdParameter('users')
  @Operation({ summary: 'Get a user', answer: UserResponse, subject: true, problems: ['not-found'] })
  async get(@Id() id: string): Promise<UserResponse> {
    return toResponse(await this.users.get(id));
  }

  @Patch(':id')
  @IdParameter('users')
  @Operation({
    summary: 'Change a user (JSON merge patch)',
    answer: UserResponse,
    subject: true,
    body: { type: UpdateUser, example: { name: 'Ada King' }, mergePatch: true },
    ifMatch: 'required',
    problems: ['not-found', 'already-exists'],
  })
  async update(
    @Id() id: string,
    @Body() patch: UpdateUser,
    @IfMatch('refused') precondition: Precondition,
    @RequestOrigin() origin: Origin,
  ): Promise<UserResponse> {
    const { state } = await this.users.update(id, patch, precondition, origin);
    return toResponse(state);
  }

  @Get(':id/events')
  @IdParameter('users')
  @Operation({
    summary: 'What happened to a user, oldest first',
    answer: EventResponse,
    page: true,
    query: true,
    problems: ['not-found', 'invalid-cursor'],
  })
  async events(@Id() id: string, @Query() query: PageQuery): Promise<Page<EventResponse>> {
    return this.history.page('user', id, query, summarizeUserEvent);
  }
}
