import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsUUID } from 'class-validator';
import { EXAMPLE_EMAIL } from '../http/examples.js';
import { IsPresent, IsText } from '../http/validators.js';
import { IsEmailAddress } from '../users/email.js';
import { ACCESS_TOKEN_SECONDS } from './access-tokens.js';
import type { Credentials, Session } from './sessions.js';

const NEW_PASSWORD = { format: 'password', minLength: 12, maxLength: 128 } as const;

export class Register {
  /** 1 to 200 characters. */
  @ApiProperty({ minLength: 1, maxLength: 200, example: 'Ada Lovelace' })
  @IsText(1, 200)
  name: string;

  /** Unique, whatever the case of its letters. */
  @ApiProperty({ format: 'email', minLength: 3, maxLength: 254, example: EXAMPLE_EMAIL })
  @IsEmailAddress()
  email: string;

  /** 12 to 128 characters, and none that is easily guessed. */
  @ApiProperty(NEW_PASSWORD)
  @IsText(12, 128)
  password: string;
}

export class Login {
  @ApiProperty({ maxLength: 254 })
  @IsText(1, 254)
  email: string;

  @ApiProperty({ format: 'password', maxLength: 128 })
  @IsText(1, 128)
  password: string;
}

export class Refresh {
  @ApiProperty({ maxLength: 200 })
  @IsText(1, 200)
  refreshToken: string;
}

/** Either `currentPassword`, signed in, or `resetToken`. */
export class NewPassword {
  /** Of the user who is signed in. */
  @ApiPropertyOptional({ format: 'password', maxLength: 128 })
  @IsPresent()
  @IsText(1, 128)
  currentPassword?: string;

  /** As an admin has issued it. */
  @ApiPropertyOptional({ maxLength: 100 })
  @IsPresent()
  @IsText(1, 100)
  resetToken?: string;

  /** 12 to 128 characters, and none that is easily guessed. */
  @ApiProperty(NEW_PASSWORD)
  @IsText(12, 128)
  newPassword: string;
}

export class IssueResetToken {
  @ApiProperty({ format: 'uuid' })
  @IsUUID()
  userId: string;
}

export class TokenResponse {
  /** JWT (RFC 9068), for `Authorization: Bearer`. */
  @ApiProperty()
  accessToken: string;

  @ApiProperty({ enum: ['Bearer'] })
  tokenType: 'Bearer';

  /** Seconds that the access token is valid. */
  @ApiProperty({ type: 'integer', example: ACCESS_TOKEN_SECONDS })
  expiresIn: number;

  /** To be exchanged at `/v1/auth/refresh`, once; opaque. */
  @ApiProperty()
  refreshToken: string;
}

export class SessionResponse {
  @ApiProperty({ format: 'uuid' })
  id: string;

  @ApiProperty({ format: 'date-time' })
  createdAt: string;

  /** When it got its latest tokens. */
  @ApiProperty({ format: 'date-time' })
  refreshedAt: string;

  @ApiProperty({ format: 'date-time' })
  expiresAt: string;

  /** Whether this request belongs to it. */
  @ApiProperty()
  current: boolean;
}

export class ResetTokenResponse {
  /** Shown this once. */
  @ApiProperty()
  resetToken: string;

  @ApiProperty({ format: 'date-time' })
  expiresAt: string;
}

/** What login and refresh answer. */
export function tokenResponse({ accessToken, refreshToken }: Credentials): TokenResponse {
  return { accessToken, tokenType: 'Bearer', expiresIn: ACCESS_TOKEN_SECONDS, refreshToken };
}

/** A session as its user sees it; `currentId` is the one that asks. */
export function sessionResponse(session: Session, currentId: string | null): SessionResponse {
  return {
    id: session.id,
    createdAt: session.createdAt.toISOString(),
    refreshedAt: session.refreshedAt.toISOString(),
    expiresAt: session.expiresAt.toISOString(),
    current: session.id === currentId,
  };
}
