import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { problemKinds } from '../problems/catalogue.js';

class FaultBody {
  /** JSON pointer (RFC 6901) into the body. */
  @ApiPropertyOptional()
  pointer?: string;

  /** Name of a query parameter. */
  @ApiPropertyOptional()
  parameter?: string;

  @ApiProperty()
  code: string;

  @ApiProperty()
  detail: string;
}

/** A failure as RFC 9457 writes it; some codes add members of their own. */
export class ProblemBody {
  @ApiProperty({ format: 'uri-reference', example: '/problems/not-found' })
  type: string;

  @ApiProperty()
  title: string;

  @ApiProperty({ type: 'integer' })
  status: number;

  @ApiProperty()
  detail: string;

  /** `urn:uuid:` and the request id. */
  @ApiProperty({ format: 'uri' })
  instance: string;

  @ApiProperty({ enum: Object.keys(problemKinds), enumName: 'ProblemCode' })
  code: string;

  /** Id of the trace that the request belongs to, while the service traces. */
  @ApiPropertyOptional({ pattern: '^[0-9a-f]{32}$' })
  traceId?: string;

  @ApiPropertyOptional({ type: [FaultBody] })
  errors?: FaultBody[];

  /** With `version-mismatch`: the version to read and decide upon. */
  @ApiPropertyOptional({ type: 'integer' })
  currentVersion?: number;

  /** With `already-exists`: the member whose value is taken. */
  @ApiPropertyOptional()
  field?: string;

  /** With `totals-changed`: the hash of the totals that the order comes to now. */
  @ApiPropertyOptional()
  totalsHash?: string;

  /** With `illegal-transition`: the state. */
  @ApiPropertyOptional()
  from?: string;

  /** With `illegal-transition`: the commands that this state takes. */
  @ApiPropertyOptional({ type: [String] })
  allowed?: string[];

  /** With `illegal-transition`: what the command needs beside the state. */
  @ApiPropertyOptional({ type: [String] })
  missing?: string[];

  /** With `refund-exceeds-paid`: what can be refunded, in minor units. */
  @ApiPropertyOptional({ type: 'integer' })
  refundable?: number;

  /** With `quantity-exceeds-line`: the line, and the units that it has left. */
  @ApiPropertyOptional({ type: 'integer' })
  position?: number;

  @ApiPropertyOptional({ type: 'integer' })
  remaining?: number;
}
