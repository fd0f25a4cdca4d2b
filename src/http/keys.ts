import { createHmac, hkdfSync } from 'node:crypto';

/**
 * A 32-byte key for one purpose, derived from `ORDO_SECRET` by HKDF-SHA-256 (RFC 5869), so that no two purposes share
 * a key.
 */
export function deriveKey(
  secret: string,
  purpose: 'cursor' | 'fingerprint' | 'refresh tokens' | 'access tokens' | 'limits',
): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `ordo ${purpose}`, 32));
}

/** HMAC-SHA-256 over the parts, each with its length before it, so that no two lists of parts give the same bytes. */
export function authenticate(key: Buffer, parts: readonly string[]): Buffer {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
  return mac.digest();
}
