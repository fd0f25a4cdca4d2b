import { once } from 'node:events';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

if (Number(process.versions.node.split('.')[0]) < 24) {
  process.stderr.write(
    `ordo: Node.js 24 or newer is needed (npm scripts bring it), this is ${process.version}\n`,
  );
  process.exit(1);
}

// npm forwards signals, so that each can come twice: the first one counts, from the very beginning.
const toldToStop = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
process.on('SIGTERM', () => undefined).on('SIGINT', () => undefined);

// Compiling is a third of the time to start. Beside the build, where nobody else can write; elsewhere it does without.
module.enableCompileCache(fileURLToPath(new URL('../.compile-cache', import.meta.url)));

const { run } = await import('./run.js');
await run(toldToStop);
