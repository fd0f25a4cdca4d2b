import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, In, Repository } from 'typeorm';
import { CurrentStates } from '../audit/current-states.js';
import { type Origin, timeOfChange } from '../database/event.js';
import type { IdempotentRequest } from '../database/idempotency.js';
import { KeysetQuery, type SearchableList, type Slice } from '../database/keyset.js';
import { newId } from '../database/new-id.js';
import type { Written } from '../database/outcomes.js';
import { WritePath } from '../database/write-path.js';
import { type Access, reaches } from '../http/access.js';
import { notFound, Problem } from '../problems/problem.js';
import { PasswordHasher } from './password-hasher.js';
import { requireGoodPassword } from './password-rules.js';
import { setPassword } from './passwords.js';
import { User } from './user.entity.js';
import { userState, type UserState } from './user.events.js';
import type { CreateUser, UserQuery } from './users.dto.js';

/** Users and the indexes that they are searched by; all other conditions filter. */
const USERS: SearchableList = {
  table: 'users',
  indexes: [
    [{ columns: ['lower(email)'], unique: {} }],
    [{ columns: ['role'], except: ['customer'] }],
    [{ columns: ['status'], except: ['active'] }],
  ],
};

/** The users that fit the query. */
export function usersThatFit(query: UserQuery): KeysetQuery {
  return new KeysetQuery(USERS)
    .equal('lower(email)', query.email, 'lower(?)')
    .equal('role', query.role)
    .equal('status', query.status);
}

@Injectable()
export class UsersService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(User) private readonly users: Repository<User>,
    private readonly states: CurrentStates,
    private readonly writePath: WritePath,
    private readonly hasher: PasswordHasher,
  ) {}

  /**
   * Creates a user with whatever role; `already-exists` when the e-mail address is taken in whatever case,
   * `validation-failed` for a weak password.
   */
  async create(
    input: CreateUser,
    origin: Origin,
    request: IdempotentRequest | undefined,
  ): Promise<Written<'user.created'>> {
    const hash = await this.hashOf(input);
    return this.writePath.write<'user.created'>(origin, request, async (tx) => {
      const now = timeOfChange();
      const user: User = {
        id: newId(),
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
      if (hash !== undefined) await setPassword(tx, user.id, hash);
      return { action: 'user.created', state: userState(user) };
    });
  }

  /** The user as it is now; `not-found` when there is none that the caller may see. */
  async get(id: string, access: Access): Promise<UserState> {
    const user = reaches(access, id) ? await this.states.get('user', id) : undefined;
    if (user === undefined) throw notFound();
    return user;
  }

  /** One page of users, newest first, and where the next one starts. */
  async list(query: UserQuery, after: string | undefined): Promise<Slice<UserState>> {
    const page = await usersThatFit(query).page(this.dataSource, query.limit, after);
    const users = await this.users.find({ where: { id: In([...page.ids]) }, order: { id: 'DESC' } });
    return { data: users.map(userState), next: page.next };
  }

  private async hashOf({ password, email }: CreateUser): Promise<string | undefined> {
    if (password === undefined) return undefined;
    await requireGoodPassword(password, email, '/password');
    return this.hasher.hash(password);
  }
}

/** The answer to an e-mail address that is taken. */
export function emailTaken(): Problem {
  return new Problem('already-exists', 'Another user has this e-mail address.', {
    members: { field: 'email' },
  });
}
