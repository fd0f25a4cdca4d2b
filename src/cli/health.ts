import { readConfig } from '../config/config.js';
import { runCommand } from './run-command.js';

/** For `HEALTHCHECK` of the image, which has no shell: exits with 0 while the service of this container is alive. */
await runCommand(async () => {
  const { HOST = '127.0.0.1', PORT } = readConfig(undefined, 'migration');
  const url = `http://${HOST.includes(':') ? `[${HOST}]` : HOST}:${PORT}/health/live`;
  const { status } = await fetch(url, { signal: AbortSignal.timeout(2_000) });
  if (status !== 200) throw new Error(`${url} answers ${status}`);
});
