import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional, Matches } from 'class-validator';
import { PageQuery } from '../../http/page.dto.js';
import { IsIntegerParameter } from '../../http/validators.js';
import { type FindingCode, findingCodes } from './finding.js';
import type { Difference } from './section.js';

export class IntegrityQuery extends PageQuery {
  /** Rows, events, leaves and the like checked on a page, at most. */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 100, default: 100 })
  @IsIntegerParameter(1, 100)
  override limit: number = 100;

  /** `user`, `order` or `api-key`; without it everything is checked, also events that are about no subject, and the log. */
  @ApiPropertyOptional()
  @IsOptional()
  @Matches(/^[a-z-]{1,40}$/, { message: '$property must be a type of subject such as order' })
  subjectType?: string;
}

class DifferenceSubject {
  /** `log` where it is the log over the events. */
  @ApiProperty({ example: 'order' })
  type: string;

  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  id: string | null;
}

const codes = Object.keys(findingCodes) as FindingCode[];

export class DifferenceResponse implements Difference {
  @ApiProperty()
  subject: DifferenceSubject;

  /** Of the row, or that the event made. */
  @ApiProperty({ type: 'integer', nullable: true })
  version: number | null;

  /** The event, where it is one that is not as it should be; null for a row. */
  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  eventId: string | null;

  /** A JSON pointer (RFC 6901) into the subject, or the name of a table, or of a column such as `audit_events.at`. */
  @ApiProperty({ example: '/total' })
  where: string;

  @ApiProperty({
    enum: codes,
    description: codes.map((code) => `- \`${code}\`: ${findingCodes[code]}`).join('\n'),
  })
  code: FindingCode;

  /** Null for nothing, and for what could be personal: names, addresses and texts are never shown. */
  @ApiProperty({ type: String, nullable: true, example: '4711' })
  expected: string | null;

  /** As `expected`. */
  @ApiProperty({ type: String, nullable: true, example: '4712' })
  actual: string | null;
}

/** Some of the walk, and what was found. */
export class IntegrityResponse {
  /** Rows, events, leaves and the like checked on this page; it can be none before the end. */
  @ApiProperty({ type: 'integer', minimum: 0 })
  checked: number;

  @ApiProperty({ type: [DifferenceResponse] })
  differences: DifferenceResponse[];

  /** How much of the walk is done, roughly. */
  @ApiProperty({ type: 'number', minimum: 0, maximum: 1 })
  progress: number;

  /** `?cursor=` of the next page; null on the last one. */
  @ApiProperty({ type: String, nullable: true })
  nextCursor: string | null;
}
