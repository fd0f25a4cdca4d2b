import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsOptional } from 'class-validator';
import { IsIntegerParameter, IsText } from './validators.js';

/** What every list takes. */
export class PageQuery {
  /** Items on a page. */
  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: 100, default: 20 })
  @IsIntegerParameter(1, 100)
  limit: number = 20;

  /** `nextCursor` of the page before; goes with the same filters. */
  @ApiPropertyOptional()
  @IsOptional()
  @IsText(1, 1_000)
  cursor?: string;
}
