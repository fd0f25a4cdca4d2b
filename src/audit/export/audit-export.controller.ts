import { Controller, Get, Query, Res } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { ApiExtraModels, ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Response } from 'express';
import type { ServiceConfig } from '../../config/config.js';
import { Requires } from '../../http/access.js';
import { Operation } from '../../http/operation.js';
import { endOf, NDJSON, sendTexts } from '../../http/stream.js';
import { Costly } from '../../limits/decorators.js';
import { AuditFilters } from '../audit.dto.js';
import { ExportedEvent, ExportEnd } from './audit-export.dto.js';
import { AuditExports } from './audit-export.js';

@ApiTags('Audit')
@Controller('v1/audit/events/export')
@Requires('audit:read')
export class AuditExportController {
  private readonly stallTimeoutMs: number;

  constructor(
    private readonly exports: AuditExports,
    config: ConfigService<ServiceConfig, true>,
  ) {
    this.stallTimeoutMs = config.get('EXPORT_STALL_TIMEOUT_MS', { infer: true });
  }

  @Get()
  @Costly()
  @ApiExtraModels(ExportEnd)
  @Operation({
    summary: 'Export events as NDJSON with a manifest, newest first',
    description:
      'All events that fit the filters, of any number, as they were at one moment. Each line is what GET answers, with ' +
      'the number of its leaf; its entry in the log is the canonical JSON (RFC 8785) of `v` (1), `id`, `at`, `actor`, ' +
      '`action`, `subject`, `requestId` and `stateHash`. The last line is `{"manifest": ...}`: an answer without it is ' +
      'not complete. It has only events that the checkpoint in the manifest covers, so that each can be proven; those of ' +
      'the last second or two may be missing, and are counted. Two exports go on at once, a third is asked to come again ' +
      '(503).',
    answer: ExportedEvent,
    query: true,
    file: { [NDJSON]: { oneOf: [ExportedEvent, ExportEnd].map((line) => ({ $ref: getSchemaPath(line) })) } },
    problems: ['not-sealed'],
  })
  async export(@Query() filters: AuditFilters, @Res() response: Response): Promise<void> {
    const name = `audit-events-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z.ndjson`;
    const headers = {
      'Content-Type': NDJSON,
      'Content-Disposition': `attachment; filename="${name}"`,
    };
    if (response.req.method === 'HEAD') {
      response.set(headers).end();
      return;
    }
    await this.exports.run(filters, endOf(response), async (texts) => {
      await sendTexts(response.set(headers), texts, this.stallTimeoutMs);
    });
  }
}
