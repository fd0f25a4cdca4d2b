import { writeFileSync } from 'node:fs';
import { bench } from './bench.js';
import { measureOverload } from './overload.js';
import { type Options, readOptions, USAGE } from './options.js';
import { toMarkdown } from './report.js';

const told = new AbortController();
// npm forwards signals, so that each can come twice.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => told.abort(new Error(`Told to stop (${signal})`)));
}
process.on('uncaughtException', (error) => told.abort(error));

const options = optionsOf(process.argv.slice(2));
if (options !== undefined) {
  await run(options).catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}

/** The options, or undefined when there is nothing to run: help was asked for, or is needed. */
function optionsOf(args: readonly string[]): Options | undefined {
  try {
    const read = readOptions(args);
    if (read !== 'help') return read;
    console.log(USAGE);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 1;
  }
  return undefined;
}

async function run(wanted: Options): Promise<void> {
  if (wanted.overload) {
    await measureOverload(wanted, told.signal);
    return;
  }
  const result = await bench(wanted, told.signal);
  const markdown = toMarkdown(result);
  console.log(`\n${markdown}`);
  if (wanted.json !== undefined) writeFileSync(wanted.json, `${JSON.stringify(result, null, 2)}\n`);
  if (wanted.markdown !== undefined) writeFileSync(wanted.markdown, `# Results\n\n${markdown}\n`);
}
