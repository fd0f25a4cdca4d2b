import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, In, Repository } from 'typeorm';
import { v7 as uuidv7 } from 'uuid';
import { type Origin, timeOfChange } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { KeysetQuery, type Slice } from '../database/keyset.js';
import { brokenConstraint } from '../database/sqlstate.js';
import { WritePath, type Written } from '../database/write-path.js';
import type { Precondition } from '../http/preconditions.js';
import { notFound, Problem } from '../problems/problem.js';
import { User } from './user.entity.js';
import { userState, type UserState } from './user.events.js';
import type { CreateUser, UpdateUser, UserQuery } from './users.dto.js';

@Injectable()
export class UsersService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(User) private readonly users: Repository<User>,
    private readonly writePath: WritePath,
  ) {}

  /** Creates a user; `already-exists` when the e-mail address is taken in whatever case. */
  async create(
    input: CreateUser,
    origin: Origin,
    request: IdempotentRequest | undefined,
  ): Promise<Written<'user.created'>> {
    return this.writePath.write<'user.created'>(origin, request, async (tx) => {
      const now = timeOfChange();
      const user: User = {
        id: uuidv7(),
        version: 1,
        name: input.name,
        email: input.email,
        role: input.role ?? 'customer',
        status: 'active',
        createdAt: now,
        updatedAt: now,
      };
      const inserted = await tx
        .createQueryBuilder()
        .insert()
        .into(User)
        .values(user)
        .orIgnore()
        .returning('id')
        .execute();
      if ((inserted.raw as unknown[]).length === 0) throw emailTaken();
      return { action: 'user.created', state: userState(user) };
    });
  }

  /** The user as it is now; `not-found` when there is none. */
  async get(id: string): Promise<UserState> {
    const user = await this.users.findOneBy({ id });
    if (user === null) throw notFound();
    return userState(user);
  }

  /** One page of users, newest first, and where the next one starts. */
  async list(query: UserQuery, after: string | undefined): Promise<Slice<UserState>> {
    const page = await new KeysetQuery('users')
      .narrow('lower(email) = lower(?)', query.email)
      .filter('role = ?', query.role)
      .filter('status = ?', query.status)
      .page(this.dataSource, query.limit, after);
    const users = await this.users.find({ where: { id: In([...page.ids]) }, order: { id: 'DESC' } });
    return { data: users.map(userState), next: page.next };
  }

  /** Changes what `patch` names; a patch that changes nothing makes no version. */
  async update(
    id: string,
    patch: UpdateUser,
    precondition: Precondition,
    origin: Origin,
  ): Promise<Written<'user.updated'>> {
    return this.writePath
      .write<'user.updated'>(origin, undefined, async (tx) => {
        const user = await tx.findOne(User, { where: { id }, lock: { mode: 'for_no_key_update' } });
        if (user === null) throw notFound();
        precondition.require(user.version);

        const wished = {
          name: patch.name ?? user.name,
          email: patch.email ?? user.email,
          role: patch.role ?? user.role,
        };
        if (wished.name === user.name && wished.email === user.email && wished.role === user.role) {
          return { unchanged: userState(user) };
        }
        const change = { ...wished, version: user.version + 1, updatedAt: timeOfChange(user.updatedAt) };
        await tx.update(User, { id }, change);
        return { action: 'user.updated', state: userState({ ...user, ...change }) };
      })
      .catch((error: unknown) => {
        throw brokenConstraint(error) === 'users_email_key' ? emailTaken() : error;
      });
  }
}

function emailTaken(): Problem {
  return new Problem('already-exists', 'Another user has this e-mail address.', {
    members: { field: 'email' },
  });
}
