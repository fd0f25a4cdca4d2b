import {
  QueryFailedError,
  QueryRunnerAlreadyReleasedError,
  QueryRunnerProviderAlreadyReleasedError,
} from 'typeorm';

/** PostgreSQL's error codes that Ordo acts upon (PostgreSQL manual, appendix A). */
export const SqlState = {
  serializationFailure: '40001',
  deadlockDetected: '40P01',
  lockNotAvailable: '55P03',
  queryCanceled: '57014',
  uniqueViolation: '23505',
  insufficientPrivilege: '42501',
  undefinedTable: '42P01',
} as const;

/**
 * Classes and codes that say "the database cannot serve now": connections, resources, shut-down, read-only; and no
 * such database or login, or not just now.
 */
const UNAVAILABLE_STATES = ['08', '53', '57P', '25006', '28', '3D000', '55000'];

const UNAVAILABLE_ERRNOS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** node-postgres reports a lost or unobtainable connection without any code. */
const UNAVAILABLE_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Cannot use a pool after)/;

/** The SQLSTATE of an error of node-postgres or TypeORM, else undefined. */
export function sqlState(error: unknown): string | undefined {
  const code = textMember(error, 'code');
  // No SQLSTATE begins with E, unlike the codes of sockets: EPIPE.
  return code !== undefined && /^(?!E)[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** The name of the constraint that a statement broke, else undefined. */
export function brokenConstraint(error: unknown): string | undefined {
  return textMember(error, 'constraint');
}

/** Whether the transaction was rolled back by a conflict that a new attempt may well survive. */
export function isRetryable(error: unknown): boolean {
  const state = sqlState(error);
  return state === SqlState.serializationFailure || state === SqlState.deadlockDetected;
}

/** Whether the database does not know the login or its own name: waiting does not help. */
export function isLoginRefused(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && (state.startsWith('28') || state === '3D000');
}

/** Whether the database cannot be reached, is going away or refuses for want of resources. */
export function isDatabaseUnavailable(error: unknown): boolean {
  // TypeORM lets go of a connection that dies between two statements of a transaction.
  if (error instanceof QueryRunnerAlreadyReleasedError) return true;
  if (error instanceof QueryRunnerProviderAlreadyReleasedError) return true;
  const code = textMember(error, 'code');
  if (code !== undefined) {
    return UNAVAILABLE_ERRNOS.has(code) || UNAVAILABLE_STATES.some((prefix) => code.startsWith(prefix));
  }
  return UNAVAILABLE_MESSAGES.test(textMember(error, 'message') ?? '');
}

function textMember(error: unknown, name: 'code' | 'constraint' | 'message'): string | undefined {
  const cause: unknown = error instanceof QueryFailedError ? error.driverError : error;
  if (typeof cause !== 'object' || cause === null || !(name in cause)) return undefined;
  const value: unknown = Reflect.get(cause, name);
  return typeof value === 'string' ? value : undefined;
}
