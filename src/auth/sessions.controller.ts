import { Controller, Delete, Get, HttpCode, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import type { Origin } from '../database/event.js';
import { type Access, CurrentAccess, Requires } from '../http/access.js';
import { Cursors, type Page } from '../http/cursors.js';
import { Id, IdParameter } from '../http/id.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { PageQuery } from '../http/page.dto.js';
import { notFound } from '../problems/problem.js';
import { SessionResponse, sessionResponse } from './auth.dto.js';
import { Sessions } from './sessions.js';

@ApiTags('Auth')
@Controller('v1/auth/sessions')
@Requires('account')
export class SessionsController {
  constructor(
    private readonly sessions: Sessions,
    private readonly cursors: Cursors,
  ) {}

  @Get()
  @Operation({
    summary: 'List your sessions, newest first',
    answer: SessionResponse,
    page: true,
    query: true,
    problems: ['invalid-cursor'],
  })
  async list(
    @CurrentAccess() { actor, sessionId }: Access,
    @Query() query: PageQuery,
  ): Promise<Page<SessionResponse>> {
    const list = `sessions ${actor.id}`;
    const { data, next } = await this.sessions.list(actor.id, query.limit, this.cursors.read(list, query));
    return this.cursors.page(
      list,
      query,
      data.map((session) => sessionResponse(session, sessionId)),
      next,
    );
  }

  @Delete(':id')
  @HttpCode(204)
  @IdParameter('auth/sessions')
  @Operation({ summary: 'End one of your sessions', problems: ['not-found'] })
  async end(
    @Id() id: string,
    @CurrentAccess() { actor }: Access,
    @RequestOrigin() origin: Origin,
  ): Promise<void> {
    if (!(await this.sessions.end(actor.id, id, origin))) throw notFound();
  }
}
