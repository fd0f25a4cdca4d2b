import { createHmac, createPrivateKey, createSecretKey, hkdfSync, type KeyObject } from 'node:crypto';

type Purpose =
  | 'cursor'
  | 'fingerprint'
  | 'refresh tokens'
  | 'access tokens'
  | 'limits'
  | 'audit signing key'
  | 'audit origin';

/**
 * A 32-byte key for one purpose, derived from `ORDO_SECRET` by HKDF-SHA-256 (RFC 5869), so that no two purposes share
 * a key.
 */
export function deriveBytes(secret: string, purpose: Purpose): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `ordo ${purpose}`, 32));
}

/** The same as a key: Node.js would make one of the bytes for each HMAC, which takes it longer than the HMAC. */
export function deriveKey(secret: string, purpose: Purpose): KeyObject {
  return createSecretKey(deriveBytes(secret, purpose));
}

/** The same Ed25519 private key in every replica with the same secret. */
export function deriveSigningKey(secret: string, purpose: Purpose): KeyObject {
  // PKCS#8 of such a key is a fixed prefix and its seed (RFC 8410).
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');
  const der = Buffer.concat([prefix, deriveBytes(secret, purpose)]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

/** HMAC-SHA-256 over the parts, each with its length before it, so that no two lists of parts give the same bytes. */
export function authenticate(key: KeyObject, parts: readonly string[]): Buffer {
  const message = parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join('');
  return createHmac('sha256', key).update(message).digest();
}
