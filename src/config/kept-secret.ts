import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { keptFile } from './private-files.js';
import { StartupError } from './startup-error.js';

/** A secret of 256 random bits (base64url) that is made once and kept in `folder`, readable by its owner alone. */
export async function keptSecret(folder: string, name: string): Promise<string> {
  return (await keptFile(join(folder, name), () => `${randomBytes(32).toString('base64url')}\n`)).trim();
}

/** An Ed25519 private key that is made once and kept in the same way. Throws StartupError when the file is damaged. */
export async function keptSigningKey(folder: string, name: string): Promise<KeyObject> {
  const path = join(folder, name);
  const pem = await keptFile(path, () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
  try {
    return createPrivateKey(pem);
  } catch {
    throw new StartupError(`${path} is damaged: restore it, or remove it and audit-origin beside it.`);
  }
}

/** The name of a log that is made up once and kept in the same way. */
export async function keptOrigin(folder: string, name: string): Promise<string> {
  const make = () => `localhost/ordo/${randomBytes(4).toString('hex')}\n`;
  return (await keptFile(join(folder, name), make)).trim();
}
