import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { StartupError } from '../../config/startup-error.js';
import { type Binaries, findBinaries } from './binaries.js';
import { errorCode, existing, syncFolder } from '../../config/private-files.js';
import { loadPasswords, type Passwords } from './passwords.js';
import { reasonIn, runProgram } from './run-program.js';
import { explainUnreachable, findServerUser, type ServerUser } from './server-user.js';

/** A data folder with all that is needed to run a server on it. */
export interface Cluster {
  readonly folder: string;
  readonly dataFolder: string;
  readonly logFile: string;
  readonly binaries: Binaries;
  readonly user: ServerUser | undefined;
  readonly passwords: Passwords;
}

const DRAFT = 'postgres.new-';

/**
 * Finds the data in `folder`, or makes both (not the folders above): with `sync` the data survives a power cut from the
 * moment this returns. Throws StartupError when it cannot be made, reached or used by the PostgreSQL at hand.
 */
export async function prepareCluster(folder: string, sync: boolean): Promise<Cluster> {
  const dataFolder = join(folder, 'postgres');
  const [binaries, user] = await Promise.all([findBinaries(), findServerUser(dataFolder)]);
  const version = await serverVersion(binaries, user);
  if (!(await existing(stat(folder)))) await mkdir(folder, { mode: 0o755 });
  // The server's user must pass through; what is secret in here has mode 0600.
  if (user) await chmod(folder, 0o711);

  const passwords = await loadPasswords(folder);
  const cluster = { folder, dataFolder, logFile: join(folder, 'postgres.log'), binaries, user, passwords };
  const found = await dataVersion(dataFolder);
  if (found === undefined) await initialise(cluster, sync);
  else if (found !== version) {
    throw new StartupError(
      `${dataFolder} was made by PostgreSQL ${found}, but this is PostgreSQL ${version}: dump it with version ${found} (its passwords are beside it) and move it away, then start again and restore the dump.`,
    );
  }
  return cluster;
}

/** Removes what an interrupted initialisation left behind. Only for the holder of the lock: whoever is still at it has lost. */
export async function removeDrafts(folder: string): Promise<void> {
  const drafts = (await readdir(folder)).filter((name) => name.startsWith(DRAFT));
  await Promise.all(drafts.map((name) => rm(join(folder, name), { recursive: true, force: true })));
}

/** The major version of the server at hand; asking it as its own user also shows that it can be executed. */
async function serverVersion({ postgres }: Binaries, user: ServerUser | undefined): Promise<string> {
  const { code, output } = await runProgram(postgres, ['--version'], user).catch((error: unknown) => ({
    code: null,
    output: String(error),
  }));
  const version = / (\d+)\.\d/.exec(output)?.[1];
  if (code === 0 && version) return version;
  throw (
    (await explainUnreachable(postgres, user)) ??
    new StartupError(
      `PostgreSQL cannot be executed (${reasonIn(output)}): run "npm ci" with install scripts allowed.`,
    )
  );
}

async function dataVersion(dataFolder: string): Promise<string | undefined> {
  return (await existing(readFile(join(dataFolder, 'PG_VERSION'), 'utf8')))?.trim();
}

/** Works in a draft folder that becomes the data folder in one step, so that an interruption leaves no half of one. */
async function initialise(cluster: Cluster, sync: boolean): Promise<void> {
  const { folder, dataFolder, binaries, user, passwords } = cluster;
  const draft = await mkdtemp(join(folder, DRAFT));
  try {
    const passwordFile = join(draft, 'password');
    await writeFile(passwordFile, passwords.postgres, { mode: 0o600 });
    if (user) await Promise.all([draft, passwordFile].map((path) => chown(path, user.uid, user.gid)));
    const { code, output } = await runProgram(
      binaries.initdb,
      [
        `--pgdata=${join(draft, 'data')}`,
        '--username=postgres',
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        sync ? '--sync-method=fsync' : '--no-sync',
      ],
      user,
    );
    if (code !== 0) {
      throw (
        (await explainUnreachable(passwordFile, user)) ??
        new StartupError(`PostgreSQL could not make its data folder ${dataFolder}: ${reasonIn(output)}`)
      );
    }
    await rename(join(draft, 'data'), dataFolder);
    // In this order a power cut can cost the new name only while nobody has been told that it exists.
    if (sync) for (const path of [draft, folder, dirname(folder)]) await syncFolder(path);
  } catch (error) {
    // Another process may have been faster, and by now has swept away our draft. Its data is as good.
    if ((await dataVersion(dataFolder)) !== undefined) return;
    if (errorCode(error) !== 'ENOTEMPTY' && errorCode(error) !== 'EEXIST') throw error;
    throw new StartupError(
      `${dataFolder} is in the way: it holds something that is no PostgreSQL data. Move it away.`,
    );
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}
