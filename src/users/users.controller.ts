import { Body, Controller, Get, HttpCode, Patch, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { History } from '../audit/history.js';
import { EventResponse } from '../audit/history.dto.js';
import type { Origin } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { type Access, CurrentAccess, reaches, Requires } from '../http/access.js';
import { OTHER_EXAMPLE_EMAIL } from '../http/examples.js';
import { Cursors, type Page } from '../http/cursors.js';
import { Id, IdParameter } from '../http/id.js';
import { OptionalKey } from '../http/idempotency-key.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { PageQuery } from '../http/page.dto.js';
import { IfMatch, type Precondition } from '../http/preconditions.js';
import { Reply } from '../http/reply.js';
import { notFound } from '../problems/problem.js';
import { summarizeUserEvent } from './user.events.js';
import { requireAdmin, UserChanges } from './user-changes.js';
import { CreateUser, toResponse, UpdateUser, UserCommand, UserQuery, UserResponse } from './users.dto.js';
import { UsersService } from './users.service.js';

const COMMAND = {
  answer: UserResponse,
  subject: true,
  body: { type: UserCommand, example: {}, optional: true },
  key: 'optional',
  ifMatch: 'optional',
  problems: ['not-found', 'illegal-transition', 'last-admin'],
} as const;

@ApiTags('Users')
@Controller('v1/users')
export class UsersController {
  constructor(
    private readonly users: UsersService,
    private readonly changes: UserChanges,
    private readonly history: History,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Requires('users:manage')
  @Operation({
    summary: 'Create a user',
    description: 'A repetition with the key of a user who was erased since is answered with 404.',
    answer: UserResponse,
    creates: true,
    subject: true,
    body: { type: CreateUser, example: { name: 'Grace Hopper', email: OTHER_EXAMPLE_EMAIL } },
    key: 'optional',
    problems: ['not-found', 'already-exists'],
  })
  async create(
    @Body() body: CreateUser,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<UserResponse>> {
    if (body.role !== undefined && body.role !== 'customer') requireAdmin(access);
    const { state, replayed } = await this.users.create(body, origin, key);
    return new Reply(toResponse(state), { replayed, location: `/v1/users/${state.id}` });
  }

  @Get()
  @Requires('users:list')
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

  @Get('me')
  @Requires('account')
  @Operation({ summary: 'Get yourself', answer: UserResponse, subject: true })
  async me(@CurrentAccess() access: Access): Promise<Reply<UserResponse>> {
    const { id } = access.actor;
    return new Reply(toResponse(await this.users.get(id, access)), { variant: id });
  }

  @Get(':id')
  @Requires('users:read')
  @IdParameter('users')
  @Operation({ summary: 'Get a user', answer: UserResponse, subject: true, problems: ['not-found'] })
  async get(@Id() id: string, @CurrentAccess() access: Access): Promise<UserResponse> {
    return toResponse(await this.users.get(id, access));
  }

  @Patch(':id')
  @Requires('users:edit')
  @IdParameter('users')
  @Operation({
    summary: 'Change a user (JSON merge patch)',
    answer: UserResponse,
    subject: true,
    body: { type: UpdateUser, example: { name: 'Ada King' }, mergePatch: true },
    ifMatch: 'required',
    problems: ['not-found', 'already-exists', 'illegal-transition', 'last-admin'],
  })
  async update(
    @Id() id: string,
    @Body() patch: UpdateUser,
    @IfMatch('refused') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
  ): Promise<UserResponse> {
    const { state } = await this.changes.update(id, patch, precondition, { access, origin });
    return toResponse(state);
  }

  @Post(':id/suspend')
  @HttpCode(200)
  @Requires('users:manage')
  @IdParameter('users')
  @Operation({ summary: 'Suspend a user: sessions end, signing in fails', ...COMMAND })
  async suspend(
    @Id() id: string,
    @Body() _body: UserCommand,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<UserResponse>> {
    const { state, replayed } = await this.changes.suspend(id, precondition, { access, origin }, key);
    return new Reply(toResponse(state), { replayed });
  }

  @Post(':id/reinstate')
  @HttpCode(200)
  @Requires('users:manage')
  @IdParameter('users')
  @Operation({ summary: 'Let a suspended user sign in again', ...COMMAND })
  async reinstate(
    @Id() id: string,
    @Body() _body: UserCommand,
    @IfMatch('allowed') precondition: Precondition,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @OptionalKey() key: IdempotentRequest | undefined,
  ): Promise<Reply<UserResponse>> {
    const { state, replayed } = await this.changes.reinstate(id, precondition, { access, origin }, key);
    return new Reply(toResponse(state), { replayed });
  }

  @Get(':id/events')
  @Requires('users:read')
  @IdParameter('users')
  @Operation({
    summary: 'What happened to a user, oldest first',
    answer: EventResponse,
    page: true,
    query: true,
    problems: ['not-found', 'invalid-cursor'],
  })
  async events(
    @Id() id: string,
    @Query() query: PageQuery,
    @CurrentAccess() access: Access,
  ): Promise<Page<EventResponse>> {
    if (!reaches(access, id)) throw notFound();
    return this.history.page('user', id, query, summarizeUserEvent);
  }
}
