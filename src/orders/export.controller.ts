import { Controller, Get, Query, Res } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { ApiTags, getSchemaPath } from '@nestjs/swagger';
import type { Response } from 'express';
import type { ServiceConfig } from '../config/config.js';
import type { Origin } from '../database/event.js';
import { type Access, CurrentAccess, Requires } from '../http/access.js';
import { Operation } from '../http/operation.js';
import { RequestOrigin } from '../http/origin.js';
import { endOf, NDJSON, sendTexts } from '../http/stream.js';
import { Costly } from '../limits/decorators.js';
import { OrderExports } from './export.js';
import { ExportedOrder, OrderExportQuery } from './export.dto.js';

const mediaTypes = { ndjson: NDJSON, csv: 'text/csv; charset=utf-8; header=present' };

@ApiTags('Orders')
@Controller('v1/orders/export')
export class OrderExportController {
  private readonly stallTimeoutMs: number;

  constructor(
    private readonly exports: OrderExports,
    config: ConfigService<ServiceConfig, true>,
  ) {
    this.stallTimeoutMs = config.get('EXPORT_STALL_TIMEOUT_MS', { infer: true });
  }

  @Get()
  @Requires('orders:read')
  @Costly()
  @Operation({
    summary: 'Export orders as NDJSON or CSV, those recorded last first',
    description:
      'All orders that fit the filters, of any number, as they were at one moment, with the name and e-mail address of ' +
      'the customer; it is recorded in the audit trail who exports. The answer is complete if it ends as HTTP says; one ' +
      'that breaks off is not. Two exports go on at once, a third is asked to come again (503).\n\n' +
      'In CSV (RFC 4180, UTF-8 with a byte order mark) each row is a line of an order. What names and describes the ' +
      'order is repeated on its rows; its amounts, hold, note, metadata, postings (as JSON) and `availableActions` ' +
      'stand on the row of its first line alone, so that columns of amounts add up. Text that a spreadsheet would take ' +
      "for a formula has a `'` before it; to read it back, take one away where one or more are followed by " +
      '`=`, `+`, `-`, `@` (also in full width), a tab or a line break.',
    answer: ExportedOrder,
    query: true,
    file: {
      [NDJSON]: { $ref: getSchemaPath(ExportedOrder) },
      'text/csv': { type: 'string', description: 'A header, then one row for each line of an order.' },
    },
  })
  async export(
    @Query() query: OrderExportQuery,
    @CurrentAccess() access: Access,
    @RequestOrigin() origin: Origin,
    @Res() response: Response,
  ): Promise<void> {
    const name = `orders-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z.${query.format}`;
    const headers = {
      'Content-Type': mediaTypes[query.format],
      'Content-Disposition': `attachment; filename="${name}"`,
    };
    if (response.req.method === 'HEAD') {
      response.set(headers).end();
      return;
    }
    await this.exports.run(query, { access, origin }, endOf(response), async (texts) => {
      await sendTexts(response.set(headers), texts, this.stallTimeoutMs);
    });
  }
}
