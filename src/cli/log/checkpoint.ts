import { parseTreeHead, type TreeHead } from '../../audit/log/checkpoint.js';
import { NoteError, openNote, type Verifier } from '../../audit/log/note.js';
import { Fault } from './source.js';

/** The head that a checkpoint signs; throws `Fault`, which names it, unless one of the keys of its origin vouches for it. */
export function openCheckpoint(name: string, note: string, verifiers: readonly Verifier[]): TreeHead {
  try {
    const head = parseTreeHead(openNote(note, verifiers));
    // A key of another log in the list says nothing about this one.
    openNote(
      note,
      verifiers.filter((verifier) => verifier.name === head.origin),
    );
    return head;
  } catch (error) {
    if (error instanceof NoteError) throw new Fault(`${name}: ${error.message}`, { cause: error });
    throw error;
  }
}
