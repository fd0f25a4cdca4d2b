import { Injectable } from '@nestjs/common';
import { type Origin, timeOfChange } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { brokenConstraint } from '../database/sqlstate.js';
import type { Transaction } from '../database/transaction.js';
import type { Written } from '../database/outcomes.js';
import { WritePath } from '../database/write-path.js';
import { type Access, forbidden, reaches } from '../http/access.js';
import type { Precondition } from '../http/preconditions.js';
import { notFound, Problem } from '../problems/problem.js';
import { erasedPerson } from './email.js';
import { User, type UserStatus } from './user.entity.js';
import { userState, type UserState } from './user.events.js';
import type { UpdateUser } from './users.dto.js';
import { emailTaken } from './users.service.js';

/** What happens to users who are there already. */
@Injectable()
export class UserChanges {
  constructor(private readonly writePath: WritePath) {}

  /** Changes what `patch` names; a patch that changes nothing makes no version. */
  async update(
    id: string,
    patch: UpdateUser,
    precondition: Precondition,
    { access, origin }: Request,
  ): Promise<Written<'user.updated' | 'user.role-changed'>> {
    if (patch.role !== undefined) requireAdmin(access);
    return this.writePath
      .write<'user.updated' | 'user.role-changed'>(origin, undefined, async (tx) => {
        const user = await lockUser(tx, id, precondition, access);
        if (user.status === 'erased') throw illegal(user.status, 'change');
        const wished = {
          name: patch.name ?? user.name,
          email: patch.email ?? user.email,
          role: patch.role ?? user.role,
        };
        if (wished.name === user.name && wished.email === user.email && wished.role === user.role) {
          return { unchanged: userState(user) };
        }
        const action = wished.role === user.role ? 'user.updated' : 'user.role-changed';
        return { action, state: await changeUser(tx, user, wished) };
      })
      .catch(explain);
  }

  /** Suspends an active user, who cannot sign in any more and whose sessions end; `illegal-transition` otherwise. */
  async suspend(
    id: string,
    precondition: Precondition,
    request: Request,
    key: IdempotentRequest | undefined,
  ): Promise<Written<'user.suspended'>> {
    return this.command('user.suspended', id, precondition, request, key);
  }

  /** Lets a suspended user sign in again; `illegal-transition` otherwise. */
  async reinstate(
    id: string,
    precondition: Precondition,
    request: Request,
    key: IdempotentRequest | undefined,
  ): Promise<Written<'user.reinstated'>> {
    return this.command('user.reinstated', id, precondition, request, key);
  }

  /**
   * Erases a user for ever: name and address give way to placeholders, and the database removes the states of earlier
   * events and everything to sign in with. One who is erased already stays as they are.
   */
  async erase(
    id: string,
    precondition: Precondition,
    { access, origin }: Request,
    key: IdempotentRequest | undefined,
  ): Promise<Written<'user.erased'>> {
    return this.writePath
      .write<'user.erased'>(origin, key, async (tx) => {
        // The strongest lock also waits for whoever is placing an order for the user.
        const user = await lockUser(tx, id, precondition, access, 'pessimistic_write');
        if (user.status === 'erased') return { unchanged: userState(user) };
        const state = await changeUser(tx, user, { ...erasedPerson(id), status: 'erased' });
        return { action: 'user.erased', state };
      })
      .catch(explain);
  }

  private async command<A extends 'user.suspended' | 'user.reinstated'>(
    action: A,
    id: string,
    precondition: Precondition,
    { access, origin }: Request,
    key: IdempotentRequest | undefined,
  ): Promise<Written<A>> {
    return this.writePath
      .write<A>(origin, key, async (tx) => {
        const user = await lockUser(tx, id, precondition, access);
        const status = statusAfter(user.status, action);
        return { action, state: await changeUser(tx, user, { status }) };
      })
      .catch(explain);
  }
}

/** Who asks for a change of a user, in which request. */
interface Request {
  readonly access: Access;
  readonly origin: Origin;
}

/** Roles are given and taken by admins: nobody raises their own, and no key makes itself a user with more rights. */
export function requireAdmin({ role }: Access): void {
  if (role !== 'admin') throw forbidden('Only an admin gives a role.');
}

/** The user, whose row is locked against other changes until the transaction ends. */
async function lockUser(
  tx: Transaction,
  id: string,
  precondition: Precondition,
  access: Access,
  mode: 'for_no_key_update' | 'pessimistic_write' = 'for_no_key_update',
): Promise<User> {
  if (!reaches(access, id)) throw notFound();
  const user = await tx.findOne(User, { where: { id }, lock: { mode } });
  if (user === null) throw notFound();
  if (access.role === null && user.role !== 'customer') {
    throw forbidden('An API key changes customers only.');
  }
  precondition.require(user.version);
  return user;
}

/** Writes the next version of a locked user and returns its state. */
async function changeUser(
  tx: Transaction,
  user: User,
  members: Partial<Pick<User, 'name' | 'email' | 'role' | 'status'>>,
): Promise<UserState> {
  const change = { ...members, version: user.version + 1, updatedAt: timeOfChange(user.updatedAt) };
  await tx.update(User, { id: user.id }, change);
  return userState({ ...user, ...change });
}

/** Where each command takes a user from and to. */
export const userTransitions = {
  'user.suspended': { command: 'suspend', from: 'active', to: 'suspended' },
  'user.reinstated': { command: 'reinstate', from: 'suspended', to: 'active' },
} as const satisfies Record<string, { command: string; from: UserStatus; to: UserStatus }>;

function statusAfter(status: UserStatus, action: keyof typeof userTransitions): UserStatus {
  const { command, from, to } = userTransitions[action];
  if (status === from) return to;
  throw illegal(status, command);
}

/** The answer to what a user of this status does not take. */
function illegal(status: UserStatus, command: string): Problem {
  const allowed: string[] = Object.values(userTransitions).flatMap((each) =>
    each.from === status ? [each.command] : [],
  );
  if (status !== 'erased') allowed.push('erase');
  return new Problem('illegal-transition', `A user who is ${status} does not take the command ${command}.`, {
    members: { from: status, allowed },
  });
}

/** What the database refuses, in the words of the contract. */
function explain(error: unknown): never {
  const constraint = brokenConstraint(error);
  if (constraint === 'users_email_key') throw emailTaken();
  if (constraint === 'users_last_admin_check') {
    throw new Problem('last-admin', 'This is the last active admin: make somebody else an admin first.');
  }
  throw error;
}
