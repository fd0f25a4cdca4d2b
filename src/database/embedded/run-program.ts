import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';

/** Who a program runs as. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/**
 * How every program is started: in a session of its own, out of reach of the terminal's Ctrl-C; as `user` when given
 * (Node then drops root's supplementary groups too); from a folder that every user can enter; in English.
 */
export function programOptions(user: Identity | undefined): SpawnOptions {
  return {
    detached: true,
    cwd: '/',
    env: { LC_ALL: 'C', TZ: 'UTC', HOME: '/', PATH: '/usr/bin:/bin' },
    uid: user?.uid,
    gid: user?.gid,
  };
}

/** Runs a program to its end. Returns its exit code and all it wrote; throws when it cannot be executed. */
export async function runProgram(
  program: string,
  args: readonly string[],
  user?: Identity,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { ...programOptions(user), stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  await once(child, 'close');
  return { code: child.exitCode, output };
}

/** The line that says why one of PostgreSQL's programs gave up; `output` may end in lines about cleaning up. */
export function reasonIn(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const reason = lines.findLast((line) => /FATAL:|PANIC:|error:|could not /.test(line)) ?? lines.at(-1);
  return reason?.replace(/^.*?(FATAL|PANIC|error): +/, '').trim() ?? 'it said nothing';
}
