import { In } from 'typeorm';
import { Places } from '../audit/integrity/compare.js';
import { finding } from '../audit/integrity/finding.js';
import type { Reading, SubjectCheck } from '../audit/integrity/subject-check.js';
import { erasedPerson } from './email.js';
import { userTransitions } from './user-changes.js';
import { User } from './user.entity.js';
import { userState, type UserState } from './user.events.js';

/** How users are checked. Names and addresses are never shown. */
export const userCheck: SubjectCheck<'user'> = {
  type: 'user',
  table: 'users',
  parts: {},
  places: new Places({
    shown: ['/id', '/role', '/status', '/version', '/createdAt', '/updatedAt'],
    hidden: ['/name', '/email'],
  }),
  isErased: `status = 'erased'`,
  folds: {
    'user.created': { begin: (after) => ({ state: { ...after, status: 'active' } }) },
    'user.updated': { advance: (before, { name, email }) => ({ state: { ...before, name, email } }) },
    'user.role-changed': {
      advance: (before, { name, email, role }) => ({ state: { ...before, name, email, role } }),
    },
    'user.suspended': { advance: (before) => moved('user.suspended', before) },
    'user.reinstated': { advance: (before) => moved('user.reinstated', before) },
    'user.erased': {
      advance: (before) => ({ state: { ...before, ...erasedPerson(before.id), status: 'erased' } }),
    },
  },

  async read(tx, ids) {
    const users = await tx.findBy(User, { id: In([...ids]) });
    return users.map((user) => ({ state: userState(user) }));
  },
  complete: (stored) => stored,
};

function moved(action: keyof typeof userTransitions, before: UserState): Reading<UserState> {
  const { from, to } = userTransitions[action];
  const state: UserState = { ...before, status: to };
  if (before.status === from) return { state };
  const findings = [finding('illegal-transition', '/status', { expected: from, actual: before.status })];
  return { state, findings };
}
