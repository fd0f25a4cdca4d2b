import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Starts a script as a process of its own; resolves when it writes its first line. */
export async function startScript({ pathname }: URL, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(process.execPath, [pathname, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const isReady = await Promise.race([
    once(child.stdout, 'data').then(() => true),
    once(child, 'exit').then(() => false),
  ]);
  if (!isReady) throw new Error(`${pathname} has ended`);
  return child;
}

/** Ends a process without a word (SIGKILL); resolves when it is gone. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
