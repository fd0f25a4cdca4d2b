import { fromBase64 } from './base64.js';
import { NoteError } from './note.js';

/** The head of a log (c2sp.org/tlog-checkpoint): its name, its number of leaves and its root of 32 bytes. */
export interface TreeHead {
  readonly origin: string;
  readonly size: number;
  readonly root: Buffer;
}

/** The text that is signed: origin, size and root, a line each. */
export function formatTreeHead({ origin, size, root }: TreeHead): string {
  return `${origin}\n${size}\n${root.toString('base64')}\n`;
}

/** Reads the text of a checkpoint, whatever extension lines follow; throws NoteError for anything else. */
export function parseTreeHead(text: string): TreeHead {
  const [origin = '', size = '', encoded = '', ...extensions] = text.replace(/\n$/u, '').split('\n');
  const root = fromBase64(encoded);
  const wellFormed = origin !== '' && /^(0|[1-9]\d*)$/u.test(size) && !extensions.includes('');
  if (!wellFormed || root?.length !== 32 || !Number.isSafeInteger(Number(size))) {
    throw new NoteError('This is no checkpoint (origin, size and root)');
  }
  return { origin, size: Number(size), root };
}
