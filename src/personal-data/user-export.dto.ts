import { ApiProperty } from '@nestjs/swagger';
import { AuditEventResponse } from '../audit/audit.dto.js';
import { EventResponse } from '../audit/history.dto.js';
import { OrderResponse } from '../orders/order.response.dto.js';
import { UserResponse } from '../users/users.dto.js';

class ExportedUserEvent extends EventResponse {
  /** The profile after the event; null once erased. */
  @ApiProperty({ type: UserResponse, nullable: true })
  state: UserResponse | null;
}

class ExportedOrderEvent extends EventResponse {
  @ApiProperty({ format: 'uuid' })
  orderId: string;
}

export class SignInData {
  /** Null where there is no password, of which only a hash is stored. */
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  passwordChangedAt: string | null;

  /** Null where there is no token to reset the password. */
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  resetTokenExpiresAt: string | null;
}

export class ExportedSession {
  @ApiProperty({ format: 'uuid' })
  id: string;

  @ApiProperty({ format: 'date-time' })
  createdAt: string;

  @ApiProperty({ format: 'date-time' })
  refreshedAt: string;

  @ApiProperty({ format: 'date-time' })
  expiresAt: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  endedAt: string | null;
}

export class ExportedIdempotencyKey {
  @ApiProperty()
  key: string;

  /** What the request with this key caused. */
  @ApiProperty({ format: 'uuid' })
  eventId: string;

  @ApiProperty({ format: 'date-time' })
  createdAt: string;
}

/** All that is stored about a person. It is read part by part: what happens meanwhile is in it, or not. */
export class UserExportResponse {
  @ApiProperty({ format: 'date-time' })
  exportedAt: string;

  @ApiProperty()
  user: UserResponse;

  @ApiProperty()
  signIn: SignInData;

  /** What changed the profile, oldest first. */
  @ApiProperty({ type: [ExportedUserEvent] })
  history: ExportedUserEvent[];

  /** Also those that have ended, newest first. */
  @ApiProperty({ type: [ExportedSession] })
  sessions: ExportedSession[];

  /** Of the person's own requests, for as long as they are remembered. */
  @ApiProperty({ type: [ExportedIdempotencyKey] })
  idempotencyKeys: ExportedIdempotencyKey[];

  /** What happened to the person without changing the profile, such as sign-ins; newest first. */
  @ApiProperty({ type: [AuditEventResponse] })
  occurrences: AuditEventResponse[];

  /** What the person has done, to whatever subject; newest first. */
  @ApiProperty({ type: [AuditEventResponse] })
  actions: AuditEventResponse[];

  /** Newest first, without commands. */
  @ApiProperty({ type: [OrderResponse] })
  orders: OrderResponse[];

  /** What happened to these orders, one order after the other, the events of each oldest first. */
  @ApiProperty({ type: [ExportedOrderEvent] })
  orderEvents: ExportedOrderEvent[];
}
