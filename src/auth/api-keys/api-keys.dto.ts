import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { ArrayMinSize, ArrayUnique, IsArray, IsIn, IsOptional } from 'class-validator';
import { type Scope, scopes } from '../../http/access.js';
import { IsInstant, IsText } from '../../http/validators.js';
import type { ApiKeyState } from './api-key.events.js';

export class CreateApiKey {
  /** What the key is for, 1 to 100 characters. Two keys of a name can be in use, so that one takes over from the other. */
  @ApiProperty({ minLength: 1, maxLength: 100, example: 'warehouse' })
  @IsText(1, 100)
  name: string;

  @ApiProperty({ enum: scopes, isArray: true, minItems: 1, maxItems: scopes.length, uniqueItems: true })
  @ArrayMinSize(1)
  @ArrayUnique()
  @IsIn(scopes, { each: true })
  @IsArray()
  scopes: Scope[];

  /** When the key stops working, which is in the future; left out or null, it works until it is revoked. */
  @ApiPropertyOptional({ format: 'date-time', nullable: true, type: String })
  @IsOptional()
  @IsInstant()
  expiresAt?: string | null;
}

export class ApiKeyResponse implements ApiKeyState {
  @ApiProperty({ format: 'uuid' })
  id: string;

  @ApiProperty({ example: 'warehouse' })
  name: string;

  @ApiProperty({ enum: scopes, isArray: true })
  scopes: readonly Scope[];

  @ApiProperty({ format: 'date-time', nullable: true, type: String })
  expiresAt: string | null;

  @ApiProperty({ format: 'date-time', nullable: true, type: String })
  revokedAt: string | null;

  /** To the minute; null before the first use. A use makes no version, so that the ETag stays the same. */
  @ApiProperty({ format: 'date-time', nullable: true, type: String })
  lastUsedAt: string | null;

  /** Counts the changes from 1; also the ETag. */
  @ApiProperty({ type: 'integer', minimum: 1 })
  version: number;

  @ApiProperty({ format: 'date-time' })
  createdAt: string;

  @ApiProperty({ format: 'date-time' })
  updatedAt: string;
}

export class CreatedApiKeyResponse extends ApiKeyResponse {
  /** The key itself, as `Authorization: Bearer <key>` takes it. In this answer only, never again; not in a replay. */
  @ApiPropertyOptional({ example: 'ordo_<id>_<secret>' })
  key?: string;
}

/** What clients see of a key: members always in the same order, so that a replay equals the first answer. */
export function toResponse(key: ApiKeyState & { readonly lastUsedAt?: string | null }): ApiKeyResponse {
  return {
    id: key.id,
    name: key.name,
    scopes: key.scopes,
    expiresAt: key.expiresAt,
    revokedAt: key.revokedAt,
    lastUsedAt: key.lastUsedAt ?? null,
    version: key.version,
    createdAt: key.createdAt,
    updatedAt: key.updatedAt,
  };
}
