import { createPublicKey, type KeyObject } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { calculateJwkThumbprint, errors, exportJWK, type JWK, jwtVerify, SignJWT } from 'jose';
import { validate as isUuid } from 'uuid';
import type { ServiceConfig } from '../config/config.js';
import { type Role, roles, unauthenticated } from '../http/access.js';
import { deriveSigningKey } from '../http/keys.js';

/** Seconds that an access token is valid. */
export const ACCESS_TOKEN_SECONDS = 600;

const ISSUER = 'ordo';
const AUDIENCE = 'ordo-api';
/** RFC 9068: keeps apart access tokens and whatever else may be signed with the same key one day. */
const TYPE = 'at+jwt';

/** What an access token says: which user, in which session, with which role. */
export interface Claims {
  readonly userId: string;
  readonly sessionId: string;
  readonly role: Role;
  readonly expiresAt: Date;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: JWK;
}

/** Signs and verifies access tokens: JWT (RFC 7519) with EdDSA over Ed25519 (RFC 8037). */
@Injectable()
export class AccessTokens {
  private readonly keys: Promise<readonly SigningKey[]>;

  constructor(config: ConfigService<ServiceConfig, true>) {
    const given = config.get('JWT_KEYS', { infer: true });
    const secret = config.get('ORDO_SECRET', { infer: true });
    this.keys = Promise.all((given ?? [deriveSigningKey(secret, 'access tokens')]).map(signingKey));
  }

  /** A token that is valid for ten minutes, signed with the first key. */
  async sign({ userId, sessionId, role }: Omit<Claims, 'expiresAt'>): Promise<string> {
    const [key] = await this.keys;
    if (key === undefined) throw new Error('There is no key to sign with');
    return new SignJWT({ sid: sessionId, role })
      .setProtectedHeader({ alg: 'EdDSA', typ: TYPE, kid: key.kid })
      .setIssuer(ISSUER)
      .setAudience(AUDIENCE)
      .setSubject(userId)
      .setIssuedAt()
      .setExpirationTime(`${ACCESS_TOKEN_SECONDS} s`)
      .sign(key.privateKey);
  }

  /** What a token says; throws `token-expired` or `unauthenticated`. Keys are our own: none that the token brings counts. */
  async verify(token: string): Promise<Claims> {
    const keys = await this.keys;
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const key = keys.find((each) => each.kid === kid);
          if (key === undefined) throw new errors.JOSEError('unknown kid');
          return key.publicKey;
        },
        {
          algorithms: ['EdDSA'],
          typ: TYPE,
          issuer: ISSUER,
          audience: AUDIENCE,
          requiredClaims: ['sub', 'sid', 'role', 'iat', 'exp'],
        },
      );
      const { sub, sid, role, exp } = payload;
      const known = roles.find((each) => each === role);
      if (!isId(sub) || !isId(sid) || known === undefined || exp === undefined) throw invalidToken();
      return { userId: sub, sessionId: sid, role: known, expiresAt: new Date(exp * 1_000) };
    } catch (error) {
      if (error instanceof errors.JWTExpired) {
        throw unauthenticated('The access token has expired.', 'token-expired', true);
      }
      throw error instanceof errors.JOSEError ? invalidToken() : error;
    }
  }

  /** The public keys as a JWK set (RFC 7517). */
  async publicKeys(): Promise<{ keys: JWK[] }> {
    return { keys: (await this.keys).map(({ jwk }) => jwk) };
  }
}

function isId(value: unknown): value is string {
  return isUuid(value);
}

function invalidToken() {
  return unauthenticated('The access token is not valid.', 'unauthenticated', true);
}

async function signingKey(privateKey: KeyObject): Promise<SigningKey> {
  const publicKey = createPublicKey(privateKey);
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, privateKey, publicKey, jwk: { ...jwk, kid, alg: 'EdDSA', use: 'sig' } };
}
