import { fromBase64 } from '../../audit/log/base64.js';
import type { TreeHead } from '../../audit/log/checkpoint.js';
import { NoteError, type Verifier } from '../../audit/log/note.js';
import { type InclusionProof, parseProof } from '../../audit/log/proof.js';
import { leafHash, verifyInclusion } from '../../audit/log/tree.js';
import { type Entry, stateHash } from '../../database/entry.js';
import { openCheckpoint } from './checkpoint.js';
import { Fault, Unusable } from './source.js';

/** What a proof without fault was found to show. */
export interface Proven {
  readonly head: TreeHead;
  readonly index: number;
  readonly entry: Entry;
  /** Whether the proof holds the state, and it is the one that the entry commits to. */
  readonly hasState: boolean;
}

/** A proof with all that it may hold; the tree's size and the leaf are told twice in JSON. */
interface GivenProof extends InclusionProof {
  readonly extra: Buffer;
  readonly treeSize?: number;
  readonly leafHash?: Buffer;
  readonly opened?: { readonly salt: Buffer; readonly state: Buffer };
}

/**
 * Checks the proof of one event, in either form that the service answers: signature, inclusion, and the state where it is
 * given. Asks nobody. Throws `Fault`, which names what is wrong, and `Unusable` for what is no proof at all, such as the
 * problem that a service answered instead of one.
 */
export function verifyProof(text: string, verifiers: readonly Verifier[]): Proven {
  const proof = text.trimStart().startsWith('{') ? readJson(text) : readText(text);
  const head = openCheckpoint('checkpoint', proof.checkpoint, verifiers);
  if (proof.treeSize !== undefined && proof.treeSize !== head.size) {
    throw new Fault(`treeSize: it is ${proof.treeSize}, the checkpoint covers ${head.size} leaves`);
  }
  const leaf = leafHash(proof.extra);
  if (proof.leafHash?.equals(leaf) === false) throw new Fault('leafHash: it is not that of the entry');
  if (proof.index >= head.size) {
    throw new Fault(`leaf ${proof.index}: the checkpoint covers only ${head.size} leaves`);
  }
  if (!verifyInclusion(leaf, proof.index, head.size, proof.hashes, head.root)) {
    throw new Fault(`leaf ${proof.index}: entry, index and hashes do not lead to the root of the checkpoint`);
  }
  const entry = readEntry(proof.extra);
  if (proof.opened !== undefined && stateHash(proof.opened.salt, proof.opened.state) !== entry.stateHash) {
    throw new Fault('state: it is not the one that the entry commits to');
  }
  return { head, index: proof.index, entry, hasState: proof.opened !== undefined };
}

function readText(text: string): GivenProof {
  const proof = parsed(() => parseProof(text));
  if (proof.extra === undefined) throw new Fault('extra: the proof does not hold the entry');
  return { ...proof, extra: proof.extra };
}

function readJson(text: string): GivenProof {
  const body = parsed(() => JSON.parse(text) as Record<string, unknown>);
  const { hashes, checkpoint } = body;
  if (typeof body.code === 'string') {
    throw new Unusable(`This is no proof, but a problem that a service has answered: ${body.code}`);
  }
  if (!Array.isArray(hashes)) throw new Fault('hashes: this is no array');
  if (typeof checkpoint !== 'string') throw new Fault('checkpoint: it is missing');
  const isOpen = (body.salt ?? null) !== null || (body.state ?? null) !== null;
  return {
    index: readNumber(body, 'leafIndex'),
    treeSize: readNumber(body, 'treeSize'),
    leafHash: readBytes('leafHash', body.leafHash, 32),
    hashes: hashes.map((hash, index) => readBytes(`hashes/${index}`, hash, 32)),
    checkpoint,
    extra: readBytes('entry', body.entry),
    ...(isOpen && { opened: { salt: readBytes('salt', body.salt), state: readBytes('state', body.state) } }),
  };
}

function readNumber(body: Record<string, unknown>, name: string): number {
  const value = body[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Fault(`${name}: this is no number of leaves`);
}

function readBytes(name: string, value: unknown, length?: number): Buffer {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
  if (bytes !== undefined && (length === undefined || bytes.length === length)) return bytes;
  throw new Fault(`${name}: this is no base64${length === undefined ? '' : ` of ${length} bytes`}`);
}

/** What is in the tree was written by the log itself; yet another log could have something else there. */
function readEntry(bytes: Buffer): Entry {
  const entry = parsed(() => JSON.parse(bytes.toString()) as Entry | null);
  if (typeof entry?.action !== 'string' || !('subject' in entry))
    throw new Fault('entry: this is no entry of an audit log');
  return entry;
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof NoteError) throw new Fault(error.message, { cause: error });
    if (error instanceof SyntaxError) throw new Fault('This is no JSON', { cause: error });
    throw error;
  }
}
