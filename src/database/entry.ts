import { createHash, randomBytes } from 'node:crypto';
import canonicalize from 'canonicalize';
import { type Origin, type SubjectState, subjectTypeOf } from './event.js';

/** What the audit trail keeps of an event, in bytes. */
interface EventBytes {
  readonly entry: Buffer;
  readonly salt: Buffer;
  readonly state: Buffer;
}

/** RFC 8785 bytes of a JSON value; throws on what JSON cannot hold. */
export function canonicalBytes(value: unknown): Buffer {
  const text = canonicalize(value);
  if (text === undefined) throw new TypeError('Not a JSON value');
  return Buffer.from(text);
}

/**
 * The bytes of an event: its canonical state, and the entry that commits to that state by a salted hash without
 * containing it. `id` is the event's UUID.
 */
export function encodeEvent(
  id: string,
  change: { readonly action: string; readonly state: SubjectState },
  origin: Origin,
): EventBytes {
  const state = canonicalBytes(change.state);
  const salt = randomBytes(16);
  const entry = canonicalBytes({
    v: 1,
    id,
    at: change.state.updatedAt,
    actor: origin.actor,
    action: change.action,
    subject: { type: subjectTypeOf(change.action), id: change.state.id, version: change.state.version },
    stateHash: stateHash(salt, state),
    requestId: origin.requestId,
  });
  return { entry, salt, state };
}

/** Hex SHA-256 of salt || state. */
function stateHash(salt: Buffer, state: Buffer): string {
  return createHash('sha256').update(salt).update(state).digest('hex');
}
