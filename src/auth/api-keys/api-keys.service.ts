import { timingSafeEqual } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, In, Repository } from 'typeorm';
import { type Origin, timeOfChange } from '../../database/event.js';
import type { IdempotentRequest } from '../../database/idempotency.js';
import { KeysetQuery, type Slice } from '../../database/keyset.js';
import { newId } from '../../database/new-id.js';
import type { Transaction } from '../../database/transaction.js';
import type { Written } from '../../database/outcomes.js';
import { WritePath } from '../../database/write-path.js';
import type { PageQuery } from '../../http/page.dto.js';
import type { Precondition } from '../../http/preconditions.js';
import { invalid, notFound, Problem } from '../../problems/problem.js';
import { type Verified, VerifiedTokens } from '../verified-tokens.js';
import { ApiKey } from './api-key.entity.js';
import { apiKeyState, type ApiKeyState } from './api-key.events.js';
import { formatToken, hashSecret, newSecret, parseToken } from './api-key-token.js';
import type { CreateApiKey } from './api-keys.dto.js';
import { LastUses } from './last-uses.js';

/** A key as it is now, and when it was used last. */
type KnownApiKey = ApiKeyState & { readonly lastUsedAt: string | null };

/** A key that was just made. `token` is what its user sends; undefined in a replay, for nobody knows it any more. */
type CreatedApiKey = Written<'api-key.created'> & { readonly token: string | undefined };

/** API keys: how they are made, shown, revoked and recognized. */
@Injectable()
export class ApiKeys {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(ApiKey) private readonly keys: Repository<ApiKey>,
    private readonly writePath: WritePath,
    private readonly lastUses: LastUses,
    private readonly verified: VerifiedTokens,
  ) {}

  /** Creates a key; `already-exists` while two of this name are unrevoked, `validation-failed` if it expires at once. */
  async create(
    input: CreateApiKey,
    origin: Origin,
    request: IdempotentRequest | undefined,
  ): Promise<CreatedApiKey> {
    const secret = newSecret();
    const written = await this.writePath.write<'api-key.created'>(origin, request, async (tx) => {
      const now = timeOfChange();
      const key = {
        id: newId(),
        version: 1,
        name: input.name,
        scopes: input.scopes,
        secretHash: hashSecret(secret),
        expiresAt: expiryOf(input, now),
        revokedAt: null,
        createdAt: now,
        updatedAt: now,
      };
      return { action: 'api-key.created', state: apiKeyState(await insertIntoFreeSlot(tx, key)) };
    });
    return {
      ...written,
      token: written.replayed ? undefined : formatToken({ id: written.state.id, secret }),
    };
  }

  /** The key as it is now; `not-found` when there is none. */
  async get(id: string): Promise<KnownApiKey> {
    const key = await this.keys.findOne({ where: { id }, relations: { lastUse: true } });
    if (key === null) throw notFound();
    return withLastUse(key);
  }

  /** One page of keys, newest first, and where the next one starts. */
  async list(query: PageQuery, after: string | undefined): Promise<Slice<KnownApiKey>> {
    const { ids, next } = await new KeysetQuery({ table: 'api_keys', indexes: [] }).page(
      this.dataSource,
      query.limit,
      after,
    );
    const keys = await this.keys.find({
      where: { id: In([...ids]) },
      relations: { lastUse: true },
      order: { id: 'DESC' },
    });
    return { data: keys.map(withLastUse), next };
  }

  /** Revokes a key for ever; one that is revoked already stays as it is. */
  async revoke(id: string, precondition: Precondition, origin: Origin): Promise<void> {
    await this.writePath.write<'api-key.revoked'>(origin, undefined, async (tx) => {
      const key = await tx.findOne(ApiKey, { where: { id }, lock: { mode: 'for_no_key_update' } });
      if (key === null) throw notFound();
      precondition.require(key.version);
      if (key.revokedAt !== null) return { unchanged: apiKeyState(key) };
      const now = timeOfChange(key.updatedAt);
      const change = { version: key.version + 1, revokedAt: now, updatedAt: now };
      await tx.update(ApiKey, { id }, change);
      return { action: 'api-key.revoked', state: apiKeyState({ ...key, ...change }) };
    });
    this.verified.forget(id);
  }

  /**
   * Who calls with this token, and until when it works; undefined for whatever is no token of a key in force. Notes
   * that the key was used.
   */
  async authenticate(token: string): Promise<Verified | undefined> {
    const given = parseToken(token);
    if (given === undefined) return undefined;
    const key = await this.keys.findOneBy({ id: given.id });
    if (key === null || !timingSafeEqual(key.secretHash, hashSecret(given.secret))) return undefined;
    if (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt.getTime() <= Date.now())) {
      return undefined;
    }
    this.lastUses.note(key.id);
    const actor = { type: 'api-key', id: key.id } as const;
    return { caller: { actor, role: null, scopes: key.scopes, sessionId: null }, expiresAt: key.expiresAt };
  }
}

/**
 * Takes the first slot of the name that is free. Another transaction that is taking or freeing a slot is waited for,
 * so that what is found in the end holds.
 */
async function insertIntoFreeSlot(tx: Transaction, key: Omit<ApiKey, 'slot'>): Promise<ApiKey> {
  for (const slot of [1, 2]) {
    const inserted = await tx
      .createQueryBuilder()
      .insert()
      .into(ApiKey)
      .values({ ...key, slot })
      .orIgnore()
      .returning('id')
      .execute();
    if ((inserted.raw as unknown[]).length > 0) return { ...key, slot };
  }
  throw new Problem(
    'already-exists',
    'There are two keys of this name: revoke one first. Expired keys count until they are revoked.',
    { members: { field: 'name' } },
  );
}

/** Looked at behind the idempotency key: the replay of a creation is answered also after the key has expired. */
function expiryOf({ expiresAt }: CreateApiKey, now: Date): Date | null {
  if (expiresAt === undefined || expiresAt === null) return null;
  const expiry = new Date(expiresAt);
  if (expiry > now) return expiry;
  throw invalid([{ pointer: '/expiresAt', code: 'past', detail: 'expiresAt must be in the future' }]);
}

function withLastUse(key: ApiKey): KnownApiKey {
  return { ...apiKeyState(key), lastUsedAt: key.lastUse?.lastUsedAt.toISOString() ?? null };
}
