import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';
import { fromBase64 } from './base64.js';

/*
 * Signed notes (c2sp.org/signed-note) with Ed25519 signatures: a text, an empty line, and a line for each signature.
 */

/** Who vouches for a note: a name, the first bytes of a hash that tell its keys apart, and the key. */
export interface Verifier {
  readonly name: string;
  readonly id: Buffer;
  readonly key: KeyObject;
}

/** What makes signatures in a name. */
export interface Signer {
  readonly name: string;
  readonly key: KeyObject;
}

/** The note is malformed, or not signed as it has to be. */
export class NoteError extends Error {
  override readonly name = 'NoteError';
}

const ED25519 = 0x01;
const ID_LENGTH = 4;
const SIGNATURE_LENGTH = 64;
/** What comes before the 32 bytes of an Ed25519 key in SPKI (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
/** Neither white space, nor control characters, nor `+`, which separates the name in a verifier key. */
const NAME = /^[^\s\p{Cc}+]+$/u;
const SIGNATURE_LINE = /^\u2014 (\S+) (\S+)$/u;

/** Whether signed notes take this as the name of a key. */
export function isKeyName(name: string): boolean {
  return NAME.test(name);
}

/** The verifier of an Ed25519 key (private or public) under a name. */
export function verifierOf({ name, key }: Signer): Verifier {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  const id = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), typedKey(publicKey)]), 'buffer');
  return { name, id: id.subarray(0, ID_LENGTH), key: publicKey };
}

/** `name+hex(id)+base64(0x01 || key)`, as auditors are given it. */
export function formatVerifier({ name, id, key }: Verifier): string {
  return `${name}+${id.toString('hex')}+${typedKey(key).toString('base64')}`;
}

/** Reads what {@link formatVerifier} wrote; throws NoteError for anything else. */
export function parseVerifier(text: string): Verifier {
  const [, name = '', id = '', encoded = ''] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/u.exec(text) ?? [];
  const bytes = fromBase64(encoded);
  if (!isKeyName(name) || bytes?.length !== 33 || bytes[0] !== ED25519) {
    throw new NoteError('This is no verifier key for Ed25519 (name+id+key)');
  }
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, bytes.subarray(1)]),
    format: 'der',
    type: 'spki',
  });
  const verifier = verifierOf({ name, key });
  if (verifier.id.toString('hex') !== id)
    throw new NoteError('The id of the verifier key is not that of its key');
  return verifier;
}

/** The note of a text, which ends with a line feed, signed by each of the signers. */
export function signNote(text: string, signers: readonly Signer[]): string {
  const lines = signers.map((signer) => {
    const signature = sign(null, Buffer.from(text), signer.key);
    return `\u2014 ${signer.name} ${Buffer.concat([verifierOf(signer).id, signature]).toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/**
 * The text of a note that at least one of the verifiers vouches for. Signatures of others are passed over, as the
 * format asks; a wrong one of a verifier is not. Throws NoteError.
 */
export function openNote(note: string, verifiers: readonly Verifier[]): string {
  const { text, signatures } = splitNote(note);
  let vouched = false;
  for (const { name, id, signature } of signatures) {
    const verifier = verifiers.find((known) => known.name === name && known.id.equals(id));
    if (verifier === undefined) continue;
    if (signature.length !== SIGNATURE_LENGTH || !verify(null, Buffer.from(text), verifier.key, signature)) {
      throw new NoteError(`The signature of ${name} is wrong`);
    }
    vouched = true;
  }
  if (!vouched) throw new NoteError('The note has no signature of a known key');
  return text;
}

function splitNote(note: string) {
  const end = note.lastIndexOf('\n\n') + 1;
  const text = note.slice(0, end);
  const lines = note.slice(end + 1);
  // Line feeds are the only control characters that a note may hold.
  if (end === 0 || !lines.endsWith('\n') || /[^\P{Cc}\n]/u.test(note))
    throw new NoteError('This is no signed note');
  const signatures = lines
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      const [, name = '', encoded = ''] = SIGNATURE_LINE.exec(line) ?? [];
      const bytes = fromBase64(encoded);
      if (!isKeyName(name) || bytes === undefined || bytes.length <= ID_LENGTH) {
        throw new NoteError('A line of the note should be a signature');
      }
      return { name, id: bytes.subarray(0, ID_LENGTH), signature: bytes.subarray(ID_LENGTH) };
    });
  return { text, signatures };
}

function typedKey(key: KeyObject): Buffer {
  const spki = key.export({ type: 'spki', format: 'der' });
  return Buffer.concat([Buffer.of(ED25519), spki.subarray(SPKI_PREFIX.length)]);
}
