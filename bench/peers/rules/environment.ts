import { createPrivateKey, createPublicKey } from 'node:crypto';

/** What every peer is told by its environment. */
export function readEnvironment() {
  const privateKey = createPrivateKey(variable('JWT_KEYS'));
  return {
    port: Number(variable('PORT')),
    databaseUrl: variable('DATABASE_URL'),
    rateLimit: Number(variable('RATE_LIMIT')),
    logLevel: variable('LOG_LEVEL'),
    secret: variable('ORDO_SECRET'),
    /** Ed25519, with which access tokens are signed. */
    privateKey,
    publicKey: createPublicKey(privateKey),
  };
}

function variable(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

export const ISSUER = 'ordo';
export const AUDIENCE = 'ordo-api';
export const TOKEN_TYPE = 'at+jwt';
export const TOKEN_SECONDS = 600;

/** Who is calling, as the access token says. */
export interface Caller {
  readonly sub: string;
  readonly role: string;
}

/** Customers see what is their own. */
export function reachesAll({ role }: Caller): boolean {
  return role === 'staff' || role === 'admin';
}
