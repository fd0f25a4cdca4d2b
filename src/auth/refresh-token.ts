import { createHash, type KeyObject, randomBytes, timingSafeEqual } from 'node:crypto';
import { parse as uuidBytes, stringify as uuidText } from 'uuid';
import { authenticate } from '../http/keys.js';

const ID_BYTES = 16;
const SECRET_BYTES = 32;
const TAG_BYTES = 16;
const LENGTH = Math.ceil(((ID_BYTES + SECRET_BYTES + TAG_BYTES) * 4) / 3);

/**
 * A refresh token: base64url of the session's id, a secret of 256 bits, and a tag that only the holder of `key` can
 * make. The tag tells a token that was ours once, and is now reused, from one that somebody made up.
 */
export class RefreshToken {
  private constructor(
    readonly sessionId: string,
    readonly text: string,
  ) {}

  /** The first token of a session. */
  static first(key: KeyObject, sessionId: string): RefreshToken {
    return RefreshToken.make(key, sessionId, randomBytes(SECRET_BYTES));
  }

  /** The token that the text is, undefined when we never made it. */
  static parse(key: KeyObject, text: string): RefreshToken | undefined {
    if (text.length !== LENGTH) return undefined;
    const bytes = Buffer.from(text, 'base64url');
    const id = bytes.subarray(0, ID_BYTES);
    const secret = bytes.subarray(ID_BYTES, ID_BYTES + SECRET_BYTES);
    const tag = bytes.subarray(ID_BYTES + SECRET_BYTES);
    if (bytes.toString('base64url') !== text || tag.length !== TAG_BYTES) return undefined;
    return timingSafeEqual(tag, tagOf(key, id, secret)) ? new RefreshToken(uuidText(id), text) : undefined;
  }

  /** The token that this one is exchanged for, always the same: nothing but hashes need be stored to repeat an answer. */
  successor(key: KeyObject): RefreshToken {
    return RefreshToken.make(key, this.sessionId, authenticate(key, ['successor', this.text]));
  }

  /** SHA-256 of the token: what is stored. 256 random bits need no slow hash. */
  get hash(): Buffer {
    return createHash('sha256').update(this.text).digest();
  }

  private static make(key: KeyObject, sessionId: string, secret: Buffer): RefreshToken {
    const id = Buffer.from(uuidBytes(sessionId));
    return new RefreshToken(
      sessionId,
      Buffer.concat([id, secret, tagOf(key, id, secret)]).toString('base64url'),
    );
  }
}

function tagOf(key: KeyObject, id: Buffer, secret: Buffer): Buffer {
  return authenticate(key, ['tag', id.toString('hex'), secret.toString('hex')]).subarray(0, TAG_BYTES);
}
