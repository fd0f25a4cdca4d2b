import type { Credentials } from '../../config/client-credentials.js';
import { type Answer, problemCode } from './answer.js';

/** What an API key must be allowed for an import. */
export const SCOPES = ['orders:write', 'users:read', 'users:write'];

const NAMED_SCOPES = `the scopes ${SCOPES.join(', ')}`;

/** The service does not accept the credentials, or not for an import: no line can be imported. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

/** What a 401 or 403 means for whoever runs the import; undefined for any other answer. */
export function refusalOf(answer: Answer, base: string, kind: Credentials['kind']): Refused | undefined {
  const reason = reasonOf(answer, kind);
  return reason === undefined ? undefined : new Refused(`${base} refuses the ${kind}: ${reason}`);
}

function reasonOf(answer: Answer, kind: Credentials['kind']): string | undefined {
  const isKey = kind === 'API key';
  if (answer.status === 403) {
    return isKey
      ? `it needs ${NAMED_SCOPES}`
      : `importing takes an admin, or an API key with ${NAMED_SCOPES}`;
  }
  if (answer.status !== 401) return undefined;
  const advice = `access tokens live ten minutes; an API key with ${NAMED_SCOPES} suits imports`;
  if (problemCode(answer) === 'token-expired') return `it has expired (${advice})`;
  return isKey ? 'it is mistyped, expired or revoked' : `it is mistyped, or its session is over (${advice})`;
}
