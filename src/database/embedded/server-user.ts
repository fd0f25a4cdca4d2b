import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StartupError } from '../../config/startup-error.js';
import { existing } from '../../config/private-files.js';
import { type Identity, runProgram } from './run-program.js';

/** The unprivileged user that PostgreSQL runs as when Ordo is root. */
export interface ServerUser extends Identity {
  readonly name: string;
}

/**
 * Chooses the server's user: nobody else than ourselves (undefined) unless we are root; then whoever owns the data
 * already, else `postgres`, else `nobody`. Throws StartupError when root owns the data, or no such user is known.
 */
export async function findServerUser(dataFolder: string): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const data = await existing(stat(dataFolder));
  if (data?.uid === 0) {
    throw new StartupError(
      `${dataFolder} belongs to root, and PostgreSQL refuses to run as root: give it to another user (chown -R nobody ${dataFolder}).`,
    );
  }
  if (data) return { name: `uid ${data.uid}`, uid: data.uid, gid: data.gid };
  const user = (await lookUp('postgres')) ?? (await lookUp('nobody'));
  if (user) return user;
  throw new StartupError(
    'PostgreSQL refuses to run as root, and there is no user "postgres" or "nobody": add one.',
  );
}

async function lookUp(name: string): Promise<ServerUser | undefined> {
  const [uid, gid] = await Promise.all([runProgram('id', ['-u', name]), runProgram('id', ['-g', name])]);
  return uid.code === 0 && gid.code === 0
    ? { name, uid: Number(uid.output), gid: Number(gid.output) }
    : undefined;
}

/**
 * Explains a failure by the first folder above `path` that `user` may not enter; undefined when there is none.
 * Asked only after a failure: mode bits do not know about access lists, the kernel does.
 */
export async function explainUnreachable(
  path: string,
  user: ServerUser | undefined,
): Promise<StartupError | undefined> {
  if (!user) return undefined;
  for (const folder of parents(await realpath(path))) {
    const { mode, uid, gid } = await stat(folder);
    const enter = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & enter) !== 0) continue;
    return new StartupError(
      `Ordo runs as root, so PostgreSQL runs as ${user.name}, who cannot enter ${folder}: run "chmod o+x ${folder}", or move Ordo out of that folder.`,
    );
  }
  return undefined;
}

function parents(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...parents(parent), parent];
}
