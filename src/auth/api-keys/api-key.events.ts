import type { ActionOf, SubjectState } from '../../database/event.js';
import type { Scope } from '../../http/access.js';
import type { ApiKey } from './api-key.entity.js';

/** An API key as events record it: neither the secret nor its hash. */
export interface ApiKeyState extends SubjectState {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
}

declare module '../../database/event.js' {
  interface EventStates {
    'api-key.created': ApiKeyState;
    'api-key.revoked': ApiKeyState;
  }
}

/** The state of an API key's row. */
export function apiKeyState(key: ApiKey): ApiKeyState {
  return {
    id: key.id,
    name: key.name,
    scopes: key.scopes,
    expiresAt: key.expiresAt?.toISOString() ?? null,
    revokedAt: key.revokedAt?.toISOString() ?? null,
    version: key.version,
    createdAt: key.createdAt.toISOString(),
    updatedAt: key.updatedAt.toISOString(),
  };
}

/** An API key's event in words. */
export function summarizeApiKeyEvent(action: ActionOf<'api-key'>, key: ApiKeyState): string {
  switch (action) {
    case 'api-key.created':
      return `API key created for ${key.scopes.join(', ')}`;
    case 'api-key.revoked':
      return 'API key revoked';
  }
}
