import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Requires } from '../../http/access.js';
import { Cursors } from '../../http/cursors.js';
import { Operation } from '../../http/operation.js';
import { IntegrityQuery, IntegrityResponse } from './integrity.dto.js';
import { Integrity } from './integrity.js';

@ApiTags('Audit')
@Controller('v1/audit/integrity')
@Requires('audit:read')
export class IntegrityController {
  constructor(
    private readonly integrity: Integrity,
    private readonly cursors: Cursors,
  ) {}

  @Get()
  @Operation({
    summary: 'Check that rows, ledger, events and log agree',
    description:
      'Folds the lines, the ledger and the events anew, hashes the entries and the tree, and tells every difference. Follow `nextCursor` to its end to ' +
      'check everything that was there when the walk began; each page is checked in one snapshot. Of one row or event at most 100 differences are told.',
    answer: IntegrityResponse,
    linksNext: true,
    query: true,
    problems: ['invalid-cursor'],
  })
  async check(@Query() query: IntegrityQuery): Promise<IntegrityResponse> {
    const position = this.cursors.read('integrity', query);
    const { differences, next, ...page } = await this.integrity.page(
      query.subjectType,
      query.limit,
      position,
    );
    const { nextCursor } = this.cursors.page('integrity', query, [], next);
    return { ...page, differences: [...differences], nextCursor };
  }
}
