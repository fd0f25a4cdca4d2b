import { hash, randomBytes } from 'node:crypto';
import { canonicalBytes } from './canonical.js';
import { type Actor, type Origin, type SubjectState, subjectTypeOf } from './event.js';

/** An event about to be stored: a change with the state that it left, or an occurrence. `id` is its UUID. */
export interface NewEvent {
  readonly id: string;
  readonly origin: Origin;
  readonly event: { readonly action: string; readonly state: SubjectState } | Happening;
}

/** What happened without a change, at an instant in RFC 3339. */
interface Happening {
  readonly action: string;
  readonly subjectId: string | null;
  readonly at: string;
}

/** What an entry says; `stateHash` is null for an occurrence. */
export interface Entry {
  readonly id: string;
  readonly at: string;
  readonly actor: Actor;
  readonly action: string;
  readonly subject: EncodedEvent['subject'];
  readonly stateHash: string | null;
  readonly requestId: string;
}

/** What the audit trail keeps of an event: the bytes, and copies of what they say to search by. */
interface EncodedEvent {
  readonly at: string;
  readonly subject: { readonly type: string; readonly id: string | null; readonly version: number | null };
  readonly entry: Buffer;
  readonly salt: Buffer | null;
  readonly state: Buffer | null;
}

const SALT_BYTES = 16;
let salts = Buffer.alloc(0);

/**
 * The bytes of an event: its canonical state, and the entry that commits to that state by a salted hash without
 * containing it. An occurrence has neither version nor state.
 */
export function encodeEvent({ id, origin, event }: NewEvent): EncodedEvent {
  const type = subjectTypeOf(event.action);
  const state = 'state' in event ? canonicalBytes(event.state) : null;
  const salt = state === null ? null : freshSalt();
  const at = 'state' in event ? event.state.updatedAt : event.at;
  const subject =
    'state' in event
      ? { id: event.state.id, type, version: event.state.version }
      : { id: event.subjectId, type, version: null };
  const { id: actorId, type: actorType } = origin.actor;
  const entry = encodeEntry({
    action: event.action,
    actor: { id: actorId, type: actorType },
    at,
    id,
    requestId: origin.requestId,
    stateHash: salt === null || state === null ? null : stateHash(salt, state),
    subject,
  });
  return { at, subject, entry, salt, state };
}

/** 16 random bytes. Asked for by the hundred, because asking takes longer than making them; each is handed out once. */
function freshSalt(): Buffer {
  if (salts.length === 0) salts = randomBytes(100 * SALT_BYTES);
  const salt = salts.subarray(0, SALT_BYTES);
  salts = salts.subarray(SALT_BYTES);
  return salt;
}

/** The canonical bytes of an entry, which are a leaf of the log. */
export function encodeEntry(entry: Entry): Buffer {
  return canonicalBytes({ ...entry, v: 1 });
}

/** Hex SHA-256 of salt || state. */
export function stateHash(salt: Buffer, state: Buffer): string {
  return hash('sha256', Buffer.concat([salt, state]), 'hex');
}
