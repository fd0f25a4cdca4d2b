import { open, stat } from 'node:fs/promises';
import { failure } from './import/answer.js';
import { ApiClient, Unreachable } from './import/api-client.js';
import { type Arguments, HELP, readArguments } from './import/arguments.js';
import { type Chunk, type Entry, readChunks } from './import/chunks.js';
import { Identities } from './import/identities.js';
import { Importer } from './import/importer.js';
import { forEachAtOnce, type Line, readLines } from './import/lines.js';
import { type ImportedOrder, parseOrder } from './import/order.js';
import { Refused } from './import/refused.js';
import { Tally } from './import/tally.js';
import { LineFailure } from './import/values.js';
import { showProgress } from './progress.js';
import { runCommand } from './run-command.js';
import { travelsInClear } from './service-url.js';

/** Escapes in \\u of a body of 1 MB, the most that the service takes, make this much. */
const LONGEST_LINE = 8_000_000;
const GO_ON = 'run the import again to go on: nothing is placed twice';
const GO_ON_SIGNED_IN = `${GO_ON}; orders without a reference are known to the same key or user alone`;

/** `npm run import`: places the orders of a file through the HTTP API, each once however often it is run. */
await runCommand(async () => {
  const given = readArguments(process.argv.slice(2));
  if (given === undefined) console.log(HELP);
  else await importFile(given);
});

async function importFile(given: Arguments): Promise<void> {
  const { file, url, concurrency, credentials } = given;
  const { stream, size } = await openFile(file);
  if (travelsInClear(url)) {
    console.error(
      `Warning: the ${credentials.kind} goes to ${url} unencrypted: anybody on the way can read it.`,
    );
  }
  const client = new ApiClient(url, credentials, concurrency);
  const greeting = await client.send('GET', '/v1/users?limit=1', { attempts: 3 });
  if (greeting.status !== 200) throw new Error(`${url}: ${failure(greeting).message}`);

  const importer = new Importer(client);
  const identities = new Identities(given.addReferences);
  const tally = new Tally();
  const progress = showProgress(size);
  const importChunk = async ({ entries, size: advance }: Chunk) => {
    const orders = entries.map(({ order }) => order).filter(isOrder);
    const outcomes = await importer.place(orders).catch(withAdvice);
    for (const { number, order } of entries) {
      const sent = isOrder(order) ? order : undefined;
      const outcome = isOrder(order) ? outcomes.get(order) : order;
      if (outcome === undefined) throw new Error(`Line ${number} has no outcome`);
      tally.count(outcome, sent?.wentOn === true);
      if (outcome instanceof LineFailure) progress.tell(describe(number, sent?.reference, outcome));
    }
    progress.advance(advance);
  };
  try {
    const chunks = readChunks(readLines(stream, LONGEST_LINE), (line) => read(line, identities));
    await forEachAtOnce(chunks, concurrency, importChunk);
  } finally {
    progress.stop();
    console.log(tally.inWords(importer.usersCreated));
    if (tally.failed > 0) process.exitCode = 1;
  }
}

function read({ bytes }: Line, identities: Identities): ImportedOrder | undefined {
  if (bytes === undefined) throw new LineFailure(`longer than ${LONGEST_LINE} bytes`);
  return parseOrder(bytes, identities);
}

function isOrder(order: Entry['order']): order is ImportedOrder {
  return !(order instanceof LineFailure);
}

function withAdvice(error: unknown): never {
  if (error instanceof Unreachable) throw new Error(`${error.message}; ${GO_ON}`, { cause: error });
  if (error instanceof Refused) throw new Error(`${error.message}; ${GO_ON_SIGNED_IN}`, { cause: error });
  throw error;
}

async function openFile(path: string): Promise<{ stream: AsyncIterable<Buffer>; size: number }> {
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw new Error('it is a directory');
    const handle = await open(path);
    return { stream: handle.createReadStream(), size: status.isFile() ? status.size : 0 };
  } catch (error) {
    throw new Error(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Names the line by its number and reference, never by its customer; control characters cannot reach the terminal. */
function describe(number: number, reference: string | undefined, { message }: Error): string {
  const name = reference === undefined ? '' : ` (${reference.slice(0, 100)})`;
  return `line ${number}${name}: ${message}`.replace(/\p{Cc}/gu, ' ');
}
