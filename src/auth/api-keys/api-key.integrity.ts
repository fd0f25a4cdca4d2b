import { In } from 'typeorm';
import { Places } from '../../audit/integrity/compare.js';
import { finding } from '../../audit/integrity/finding.js';
import type { SubjectCheck } from '../../audit/integrity/subject-check.js';
import { ApiKey } from './api-key.entity.js';
import { apiKeyState } from './api-key.events.js';

/** How API keys are checked. No event holds the hash of the secret, so there is nothing to compare it with. */
export const apiKeyCheck: SubjectCheck<'api-key'> = {
  type: 'api-key',
  table: 'api_keys',
  parts: {},
  places: new Places({
    shown: [
      '/id',
      '/scopes',
      '/scopes/*',
      '/expiresAt',
      '/revokedAt',
      '/version',
      '/createdAt',
      '/updatedAt',
    ],
    hidden: ['/name'],
  }),
  isErased: 'false',
  folds: {
    'api-key.created': { begin: (after) => ({ state: { ...after, revokedAt: null } }) },
    'api-key.revoked': {
      advance: (before, { updatedAt }) => ({
        state: { ...before, revokedAt: updatedAt },
        findings:
          before.revokedAt === null
            ? []
            : [finding('illegal-transition', '/revokedAt', { actual: before.revokedAt })],
      }),
    },
  },

  async read(tx, ids) {
    const keys = await tx.findBy(ApiKey, { id: In([...ids]) });
    return keys.map((key) => ({ state: apiKeyState(key) }));
  },
  complete: (stored) => stored,
};
