import { errorCode } from './config/private-files.js';
import { StartupError } from './config/startup-error.js';

/** Listens; where that fails, throws StartupError that says in one line what to do about it. */
export async function take(variable: string, port: number, listen: () => Promise<unknown>): Promise<void> {
  try {
    await listen();
  } catch (error) {
    const code = errorCode(error);
    if (code === undefined) throw error;
    if (code === 'EADDRINUSE') {
      throw new StartupError(`Port ${port} is taken by another program: set ${variable} to a free one`);
    }
    throw new StartupError(`Port ${port} cannot be listened on (${code}): look at ${variable} and HOST`);
  }
}

/** What is logged once, when the service can be used. */
export function listensOn(port: number): string {
  return `Ordo listens on http://localhost:${port}; try it at http://localhost:${port}/docs`;
}
