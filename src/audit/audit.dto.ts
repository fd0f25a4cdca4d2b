import { ApiProperty, ApiPropertyOptional, OmitType } from '@nestjs/swagger';
import { IsOptional, IsUUID, Matches } from 'class-validator';
import { PageQuery } from '../http/page.dto.js';
import { IsInstant } from '../http/validators.js';
import { ActorResponse } from './history.dto.js';

export class AuditQuery extends PageQuery {
  /** `user`, `order` or `api-key`. */
  @ApiPropertyOptional()
  @IsOptional()
  @Matches(/^[a-z-]{1,40}$/, { message: '$property must be a type of subject such as order' })
  subjectType?: string;

  @ApiPropertyOptional({ format: 'uuid' })
  @IsOptional()
  @IsUUID()
  subjectId?: string;

  @ApiPropertyOptional({ format: 'uuid' })
  @IsOptional()
  @IsUUID()
  actorId?: string;

  /** Such as `order.cancelled`. */
  @ApiPropertyOptional()
  @IsOptional()
  @Matches(/^[a-z-]{1,40}\.[a-z-]{1,40}$/, { message: '$property must be an action such as order.cancelled' })
  action?: string;

  /** Events at this instant or later. */
  @ApiPropertyOptional({ format: 'date-time' })
  @IsOptional()
  @IsInstant()
  from?: string;

  /** Events before this instant. */
  @ApiPropertyOptional({ format: 'date-time' })
  @IsOptional()
  @IsInstant()
  to?: string;
}

/** The filters of the list. */
export class AuditFilters extends OmitType(AuditQuery, ['limit', 'cursor'] as const) {}

class SubjectResponse {
  @ApiProperty({ example: 'order' })
  type: string;

  /** Null where an event concerns nothing in particular, such as a sign-in to an unknown account. */
  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  id: string | null;

  /** The version that the event made; null for what changed nothing, such as a sign-in. */
  @ApiProperty({ type: 'integer', minimum: 1, nullable: true })
  version: number | null;
}

/** An event as the log holds it; the state that `stateHash` commits to is read at the subject's own events. */
export class AuditEventResponse {
  @ApiProperty({ format: 'uuid' })
  id: string;

  @ApiProperty({ format: 'date-time' })
  at: string;

  @ApiProperty()
  actor: ActorResponse;

  @ApiProperty({ example: 'order.placed' })
  action: string;

  @ApiProperty()
  subject: SubjectResponse;

  @ApiProperty({ format: 'uuid' })
  requestId: string;

  /** Hex SHA-256 over a salt and the canonical JSON (RFC 8785) of the subject's state after the event, if it made one. */
  @ApiProperty({ type: String, pattern: '^[0-9a-f]{64}$', nullable: true })
  stateHash: string | null;

  /** Hex SHA-256 of the event's leaf in the Merkle log (RFC 6962). */
  @ApiProperty({ pattern: '^[0-9a-f]{64}$' })
  leafHash: string;
}
