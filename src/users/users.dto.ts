import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import { type Role, roles } from '../http/access.js';
import { OptionalBody } from '../http/contract.pipe.js';
import { PageQuery } from '../http/page.dto.js';
import { IsPresent, IsText } from '../http/validators.js';
import { IsEmailAddress } from './email.js';
import { type UserStatus, userStatuses } from './user.entity.js';
import type { UserState } from './user.events.js';

export class CreateUser {
  /** 1 to 200 characters. */
  @ApiProperty({ minLength: 1, maxLength: 200, example: 'Ada Lovelace' })
  @IsText(1, 200)
  name: string;

  /** Unique, whatever the case of its letters. */
  @ApiProperty({ format: 'email', minLength: 3, maxLength: 254, example: 'grace@example.com' })
  @IsEmailAddress()
  email: string;

  /** Given by admins alone; an API key creates customers. */
  @ApiPropertyOptional({ enum: roles, default: 'customer', example: 'customer' })
  @IsPresent()
  @IsIn(roles)
  role?: Role;

  /** 12 to 128 characters, and none that is easily guessed. Without one the user signs in once a reset token was used. */
  @ApiPropertyOptional({ format: 'password', minLength: 12, maxLength: 128 })
  @IsPresent()
  @IsText(12, 128)
  password?: string;
}

/** JSON merge patch (RFC 7396) of a user. */
export class UpdateUser {
  /** 1 to 200 characters. */
  @ApiPropertyOptional({ minLength: 1, maxLength: 200, example: 'Ada King' })
  @IsPresent()
  @IsText(1, 200)
  name?: string;

  /** Unique, whatever the case of its letters. */
  @ApiPropertyOptional({ format: 'email', minLength: 3, maxLength: 254 })
  @IsPresent()
  @IsEmailAddress()
  email?: string;

  /** Changed by admins alone. All sessions of the user end. */
  @ApiPropertyOptional({ enum: roles })
  @IsPresent()
  @IsIn(roles)
  role?: Role;
}

/** A command that needs nothing said. */
@OptionalBody()
export class UserCommand {}

export class UserQuery extends PageQuery {
  /** Exactly this e-mail address, whatever the case of its letters. */
  @ApiPropertyOptional()
  @IsOptional()
  @IsText(1, 254)
  email?: string;

  @ApiPropertyOptional({ enum: roles })
  @IsOptional()
  @IsIn(roles)
  role?: Role;

  @ApiPropertyOptional({ enum: userStatuses })
  @IsOptional()
  @IsIn(userStatuses)
  status?: UserStatus;
}

export class UserResponse implements UserState {
  @ApiProperty({ format: 'uuid' })
  id: string;

  /** `Erased user` once erased. */
  @ApiProperty({ example: 'Ada Lovelace' })
  name: string;

  /** `<id>@erased.invalid`, which nobody can have, once erased. */
  @ApiProperty({ example: 'ada@example.com' })
  email: string;

  @ApiProperty({ enum: roles })
  role: Role;

  @ApiProperty({ enum: userStatuses })
  status: UserStatus;

  /** Counts the changes from 1; also the ETag. */
  @ApiProperty({ type: 'integer', minimum: 1 })
  version: number;

  @ApiProperty({ format: 'date-time' })
  createdAt: string;

  @ApiProperty({ format: 'date-time' })
  updatedAt: string;
}

/** What clients see of a state: members always in the same order, so that a replay equals the first answer. */
export function toResponse(state: UserState): UserResponse {
  return {
    id: state.id,
    name: state.name,
    email: state.email,
    role: state.role,
    status: state.status,
    version: state.version,
    createdAt: state.createdAt,
    updatedAt: state.updatedAt,
  };
}
