import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode, existing, replaceFile, syncFolder } from '../../config/private-files.js';
import { Obstacle } from '../obstacle.js';
import type { Kept, Sink } from './sink.js';

/** The latest checkpoint in a file. It is no secret: others may read it. */
export class FileSink implements Sink {
  constructor(private readonly path: string) {}

  async read(): Promise<Kept | undefined> {
    const note = await existing(readFile(this.path, 'utf8')).catch(refuse);
    return note === undefined ? undefined : { note };
  }

  async replace(note: string): Promise<void> {
    await replaceFile(this.path, note, 0o644).catch(refuse);
    await syncFolder(dirname(this.path)).catch(refuse);
  }
}

function refuse(error: unknown): never {
  throw new Obstacle(`AUDIT_CHECKPOINT_SINK fails (${errorCode(error) ?? 'unknown'})`, { cause: error });
}
