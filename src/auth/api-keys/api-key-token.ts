import { createHash, randomBytes } from 'node:crypto';

/** What a token consists of: the key's id, and the secret that proves it. */
interface TokenParts {
  readonly id: string;
  readonly secret: string;
}

const TOKEN = /^ordo_([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})_([\w-]{43})$/;

/** A new secret: 256 random bits in base64url. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** The token that a client sends: `ordo_<id>_<secret>`. */
export function formatToken({ id, secret }: TokenParts): string {
  return `ordo_${id}_${secret}`;
}

/** The parts of a token; undefined for any text that `formatToken` does not write. */
export function parseToken(token: string): TokenParts | undefined {
  const [, id, secret] = TOKEN.exec(token) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** SHA-256 of a secret's text. Nobody guesses 256 random bits, so that a slow hash would only slow us down. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
