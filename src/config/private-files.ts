import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm } from 'node:fs/promises';

/** Whether a system call failed; not by `instanceof`, as Jest's sandbox has an Error of its own. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return typeof error === 'object' && error !== null && 'syscall' in error;
}

/** The error code of a failed system call (ENOENT, EACCES ...), undefined for any other error. */
export function errorCode(error: unknown): string | undefined {
  return isSystemError(error) ? error.code : undefined;
}

/** What `lookup` finds, undefined when the file does not exist. */
export async function existing<T>(lookup: Promise<T>): Promise<T | undefined> {
  try {
    return await lookup;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Replaces a file in one step with a durable one that only its owner can read. */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  await replaceFile(path, text, 0o600);
}

/** Replaces a file in one step with a durable one; where two do so at once, one of them wins. */
export async function replaceFile(path: string, content: string | Buffer, mode: number): Promise<void> {
  const draft = `${path}.${process.pid}-${randomBytes(4).toString('hex')}`;
  const file = await open(draft, 'wx', mode);
  try {
    await file.writeFile(content);
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

/** Makes renames and new names in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * The text of a private file that is made once: `make` gives it at the first call, whoever comes later finds it, also
 * when several processes come at once.
 */
export async function keptFile(path: string, make: () => string): Promise<string> {
  const kept = await existing(readFile(path, 'utf8'));
  if (kept !== undefined) return kept;
  const draft = `${path}.new-${randomBytes(4).toString('hex')}`;
  await writePrivateFile(draft, make());
  try {
    // Unlike a rename, a link never replaces what another process may have made in the meantime.
    await link(draft, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    await rm(draft);
  }
  return readFile(path, 'utf8');
}
