import type { ActionOf, SubjectState } from '../database/event.js';
import type { Role } from '../http/access.js';
import type { User, UserStatus } from './user.entity.js';

/** A user as events record it and clients see it. */
export interface UserState extends SubjectState {
  readonly name: string;
  readonly email: string;
  readonly role: Role;
  readonly status: UserStatus;
}

declare module '../database/event.js' {
  interface EventStates {
    'user.created': UserState;
    'user.updated': UserState;
    'user.role-changed': UserState;
    'user.suspended': UserState;
    'user.reinstated': UserState;
    /** Without personal data; the states of all events before it are gone. */
    'user.erased': UserState;
  }
}

/** The state of a user's row. */
export function userState(user: User): UserState {
  return {
    id: user.id,
    name: user.name,
    email: user.email,
    role: user.role,
    status: user.status,
    version: user.version,
    createdAt: user.createdAt.toISOString(),
    updatedAt: user.updatedAt.toISOString(),
  };
}

/** A user's event in words. */
export function summarizeUserEvent(action: ActionOf<'user'>, user: UserState): string {
  switch (action) {
    case 'user.created':
      return `User created as ${user.role}`;
    case 'user.updated':
      return 'User updated';
    case 'user.role-changed':
      return `Role changed to ${user.role}`;
    case 'user.suspended':
      return 'User suspended';
    case 'user.reinstated':
      return 'User reinstated';
    case 'user.erased':
      return 'User erased';
  }
}
