import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Requires } from '../http/access.js';
import { Cursors, type Page } from '../http/cursors.js';
import { Id, IdParameter } from '../http/id.js';
import { Operation } from '../http/operation.js';
import { AuditEventResponse, AuditQuery } from './audit.dto.js';
import { AuditService } from './audit.service.js';

@ApiTags('Audit')
@Controller('v1/audit/events')
@Requires('audit:read')
export class AuditController {
  constructor(
    private readonly audit: AuditService,
    private readonly cursors: Cursors,
  ) {}

  @Get()
  @Operation({
    summary: 'List events of all subjects, newest first',
    description:
      'With several filters a page can be shorter than `limit` and yet have a next one: follow `nextCursor` until it ' +
      'is null.',
    answer: AuditEventResponse,
    page: true,
    query: true,
    problems: ['invalid-cursor'],
  })
  async list(@Query() query: AuditQuery): Promise<Page<AuditEventResponse>> {
    const { data, next } = await this.audit.list(query, this.cursors.read('audit events', query));
    return this.cursors.page('audit events', query, data, next);
  }

  @Get(':id')
  @IdParameter('audit/events')
  @Operation({ summary: 'Get an event', answer: AuditEventResponse, problems: ['not-found'] })
  async get(@Id() id: string): Promise<AuditEventResponse> {
    return this.audit.get(id);
  }
}
