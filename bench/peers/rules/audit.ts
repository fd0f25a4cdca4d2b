import { createHash, createHmac, randomBytes } from 'node:crypto';
import canonicalize from 'canonicalize';
import { v7 as uuidv7 } from 'uuid';

interface Change {
  readonly action: string;
  readonly subjectType: string;
  readonly subjectId: string;
  readonly actorId: string | null;
  readonly requestId: string;
  /** What the change left, with its time and version; an occurrence such as a sign-in has none. */
  readonly state?: { readonly updatedAt: string; readonly version: number };
}

/** A row of `audit_events`. */
export interface EventRow {
  id: string;
  at: string;
  actorType: string;
  actorId: string | null;
  action: string;
  subjectType: string;
  subjectId: string;
  subjectVersion: number | null;
  requestId: string;
  entry: Buffer;
  salt: Buffer | null;
  state: Buffer | null;
}

/** The event of a change: RFC 8785 bytes of its state, and the entry that commits to it by a salted hash. */
export function auditEvent({ state, ...change }: Change): EventRow {
  const id = uuidv7();
  const at = state?.updatedAt ?? new Date().toISOString();
  const subjectVersion = state?.version ?? null;
  const actorType = change.actorId === null ? 'anonymous' : 'user';
  const bytes = state === undefined ? null : canonicalBytes(state);
  const salt = bytes === null ? null : randomBytes(16);
  const entry = canonicalBytes({
    v: 1,
    id,
    at,
    actor: { type: actorType, id: change.actorId },
    action: change.action,
    subject: { type: change.subjectType, id: change.subjectId, version: subjectVersion },
    stateHash: bytes && salt && createHash('sha256').update(salt).update(bytes).digest('hex'),
    requestId: change.requestId,
  });
  return { id, at, actorType, subjectVersion, ...change, entry, salt, state: bytes };
}

/** Tells a request with an idempotency key from any other. */
export function fingerprint(secret: string, method: string, url: string, body: object): Buffer {
  return createHmac('sha256', secret).update(`${method}\n${url}\n`).update(canonicalBytes(body)).digest();
}

/** A refresh token and the hash under which it is stored. */
export function newRefreshToken(): { refreshToken: string; hash: Buffer } {
  const refreshToken = randomBytes(48).toString('base64url');
  return { refreshToken, hash: createHash('sha256').update(refreshToken).digest() };
}

function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(canonicalize(value) ?? '');
}
