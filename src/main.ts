import { once } from 'node:events';
import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// npm forwards signals, so that each can come twice: the first one counts, from the very beginning.
const toldToStop = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
process.on('SIGTERM', () => undefined).on('SIGINT', () => undefined);

// Compiling is a third of the time to start. Beside the build, where nobody else can write; elsewhere it does without.
enableCompileCache(fileURLToPath(new URL('../.compile-cache', import.meta.url)));

const { run } = await import('./run.js');
await run(toldToStop);
