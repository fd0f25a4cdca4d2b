import type { Credentials } from '../../config/client-credentials.js';
import { type Answer, problemCode } from './answer.js';

/** What somebody signs in for. */
export interface Purpose {
  /** What an API key must be allowed. */
  readonly scopes: readonly string[];
  /** What takes whom, where there is no key. */
  readonly takes: string;
  /** What a key suits, since access tokens are soon over. */
  readonly suits: string;
}

export const IMPORT: Purpose = {
  scopes: ['orders:write', 'users:read', 'users:write'],
  takes: 'importing takes an admin',
  suits: 'imports',
};

/** The service does not accept the credentials, or not for this purpose: nothing can be done. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

/** What a 401 or 403 means for whoever runs the command; undefined for any other answer. */
export function refusalOf(
  answer: Answer,
  base: string,
  kind: Credentials['kind'],
  purpose: Purpose,
): Refused | undefined {
  const reason = reasonOf(answer, kind, purpose);
  return reason === undefined ? undefined : new Refused(`${base} refuses the ${kind}: ${reason}`);
}

function reasonOf(
  answer: Answer,
  kind: Credentials['kind'],
  { scopes, takes, suits }: Purpose,
): string | undefined {
  const isKey = kind === 'API key';
  const named = scopes.length === 1 ? `the scope ${scopes.join()}` : `the scopes ${scopes.join(', ')}`;
  if (answer.status === 403) return isKey ? `it needs ${named}` : `${takes}, or an API key with ${named}`;
  if (answer.status !== 401) return undefined;
  const advice = `access tokens live ten minutes; an API key with ${named} suits ${suits}`;
  if (problemCode(answer) === 'token-expired') return `it has expired (${advice})`;
  return isKey ? 'it is mistyped, expired or revoked' : `it is mistyped, or its session is over (${advice})`;
}
