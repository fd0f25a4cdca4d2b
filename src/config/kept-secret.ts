import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { keptFile } from './private-files.js';

/** A secret of 256 random bits (base64url) that is made once and kept in `folder`, readable by its owner alone. */
export async function keptSecret(folder: string, name: string): Promise<string> {
  return (await keptFile(join(folder, name), () => `${randomBytes(32).toString('base64url')}\n`)).trim();
}
