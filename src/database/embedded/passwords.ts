import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { StartupError } from '../../config/startup-error.js';
import { keptFile } from '../../config/private-files.js';

const ROLES = ['postgres', 'ordo_owner', 'ordo_app'] as const;

/** The roles that sign in to the embedded database: its superuser, the migrations, the running service. */
export type LoginRole = (typeof ROLES)[number];

export type Passwords = Readonly<Record<LoginRole, string>>;

/** Reads the passwords kept in `folder`, making them at the first start. Throws StartupError when the file is damaged. */
export async function loadPasswords(folder: string): Promise<Passwords> {
  const path = join(folder, 'database-passwords.json');
  return parse(await keptFile(path, makePasswords), path);
}

function makePasswords(): string {
  const passwords = ROLES.map((role) => [role, randomBytes(24).toString('base64url')]);
  return `${JSON.stringify(Object.fromEntries(passwords), null, 2)}\n`;
}

function parse(text: string, path: string): Passwords {
  try {
    const kept = new Map(Object.entries(JSON.parse(text) as object));
    const password = (role: LoginRole): string => {
      const value: unknown = kept.get(role);
      if (typeof value !== 'string' || value === '') throw new TypeError(role);
      return value;
    };
    return {
      postgres: password('postgres'),
      ordo_owner: password('ordo_owner'),
      ordo_app: password('ordo_app'),
    };
  } catch {
    throw new StartupError(
      `${path} is damaged: restore it, or remove ${path} together with the data beside it.`,
    );
  }
}
