import { ApiProperty } from '@nestjs/swagger';
import type { Actor } from '../database/event.js';

export class ActorResponse implements Actor {
  @ApiProperty({ enum: ['user', 'api-key', 'system', 'anonymous'] })
  type: Actor['type'];

  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  id: string | null;
}

const ANY_JSON = ['string', 'number', 'boolean', 'object', 'array', 'null'].map((type) => ({ type }));

export class FieldChange {
  /** JSON pointer (RFC 6901) into the subject. */
  @ApiProperty({ example: '/status' })
  pointer: string;

  /** Value before; null when there was none. */
  @ApiProperty({ oneOf: ANY_JSON, example: 'placed' })
  from: unknown;

  /** Value after; null when there is none any more. */
  @ApiProperty({ oneOf: ANY_JSON, example: 'cancelled' })
  to: unknown;
}

export class EventResponse {
  @ApiProperty({ format: 'uuid' })
  id: string;

  /** The version that the event made. */
  @ApiProperty({ type: 'integer', minimum: 1 })
  version: number;

  @ApiProperty({ example: 'order.cancelled' })
  action: string;

  @ApiProperty()
  actor: ActorResponse;

  @ApiProperty({ format: 'date-time' })
  at: string;

  @ApiProperty({ format: 'uuid' })
  requestId: string;

  /** The event in words. */
  @ApiProperty()
  summary: string;

  /** What differs from the version before, but for `version` and `updatedAt`; empty for the first one. */
  @ApiProperty({ type: [FieldChange] })
  changes: FieldChange[];
}
