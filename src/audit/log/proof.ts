import { fromBase64 } from './base64.js';
import { NoteError } from './note.js';

/** That an entry is in the log (c2sp.org/tlog-proof): where, the hashes up to the root, and the signed checkpoint. */
export interface InclusionProof {
  readonly index: number;
  readonly hashes: readonly Buffer[];
  readonly checkpoint: string;
  /** Bytes for whoever reads the proof, which it does not vouch for: here the entry, so that nothing else is needed. */
  readonly extra?: Buffer;
}

const HEADER = 'c2sp.org/tlog-proof@v1';

/** The proof as text; the hash of the leaf is not in it. */
export function formatProof({ index, hashes, checkpoint, extra }: InclusionProof): string {
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${extra.toString('base64')}`]),
    `index ${index}`,
    ...hashes.map((hash) => hash.toString('base64')),
  ];
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** Reads what {@link formatProof} wrote; throws NoteError for anything else. The checkpoint is not looked at. */
export function parseProof(text: string): InclusionProof {
  const end = text.indexOf('\n\n');
  const [header, ...lines] = text.slice(0, Math.max(end, 0)).split('\n');
  const given = lines[0]?.startsWith('extra ') === true ? lines.shift()?.slice('extra '.length) : undefined;
  const extra = given === undefined ? undefined : fromBase64(given);
  const [, index = ''] = /^index (0|[1-9]\d*)$/.exec(lines.shift() ?? '') ?? [];
  const hashes = lines.map(fromBase64).filter((hash) => hash?.length === 32);
  const isWhole = header === HEADER && index !== '' && hashes.length === lines.length;
  if (!isWhole || !Number.isSafeInteger(Number(index)) || (given !== undefined && extra === undefined)) {
    throw new NoteError('This is no proof of inclusion (c2sp.org/tlog-proof@v1)');
  }
  return {
    index: Number(index),
    hashes: hashes.filter((hash) => hash !== undefined),
    checkpoint: text.slice(end + 2),
    ...(extra !== undefined && { extra }),
  };
}
