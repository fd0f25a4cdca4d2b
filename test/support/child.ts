import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Starts a script of this folder as a process of its own; resolves when it writes its first line. */
export async function startScript(name: string, args: readonly string[]): Promise<ChildProcess> {
  const path = new URL(`./${name}`, import.meta.url).pathname;
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const isReady = await Promise.race([
    once(child.stdout, 'data').then(() => true),
    once(child, 'exit').then(() => false),
  ]);
  if (!isReady) throw new Error(`${name} has ended`);
  return child;
}

/** Ends a process without a word (SIGKILL); resolves when it is gone. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}
