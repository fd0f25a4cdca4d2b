import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** How a command ended and what it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a built command (`verify`, `export-log`) without any credentials in its environment but those given. */
export async function runCli(name: string, args: readonly string[], environment = {}): Promise<Ended> {
  const path = new URL(`../../dist/src/cli/${name}.js`, import.meta.url).pathname;
  return runProgram(process.execPath, [path, ...args], environment);
}

/** Runs a program until it ends. */
export async function runProgram(
  program: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<Ended> {
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...environment },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}
