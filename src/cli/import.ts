import { open, stat } from 'node:fs/promises';
import { ApiClient, Unreachable } from './import/api-client.js';
import { type Arguments, HELP, readArguments, travelsInClear } from './import/arguments.js';
import { failure, Importer, type Outcome } from './import/importer.js';
import { forEachAtOnce, type Line, readLines } from './import/lines.js';
import { type ImportedOrder, LineFailure, parseOrder } from './import/order.js';
import { showProgress } from './import/progress.js';
import { Refused } from './import/refused.js';
import { runCommand } from './run-command.js';

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

async function importFile({ file, url, concurrency, credentials }: Arguments): Promise<void> {
  const { stream, size } = await openFile(file);
  if (travelsInClear(url)) {
    console.error(
      `Warning: the ${credentials.kind} goes to ${url} unencrypted: anybody on the way can read it.`,
    );
  }
  const client = new ApiClient(url, credentials);
  const greeting = await client.send('GET', '/v1/users?limit=1', { attempts: 3 });
  if (greeting.status !== 200) throw new Error(`${url}: ${failure(greeting).message}`);

  const importer = new Importer(client);
  const orders: Record<Outcome | 'failed', number> = { placed: 0, replayed: 0, skipped: 0, failed: 0 };
  const progress = showProgress(size);
  const importLine = async (line: Line) => {
    let order: ImportedOrder | undefined;
    try {
      if (line.bytes === undefined) throw new LineFailure(`longer than ${LONGEST_LINE} bytes`);
      order = parseOrder(line.bytes);
      if (order !== undefined) orders[await importer.place(order)] += 1;
    } catch (error) {
      if (error instanceof Unreachable) throw new Error(`${error.message}; ${GO_ON}`, { cause: error });
      if (error instanceof Refused) throw new Error(`${error.message}; ${GO_ON_SIGNED_IN}`, { cause: error });
      if (!(error instanceof LineFailure)) throw error;
      orders.failed += 1;
      progress.tell(describe(line, order, error));
    }
    progress.advance(line.size);
  };
  try {
    await forEachAtOnce(readLines(stream, LONGEST_LINE), concurrency, importLine);
  } finally {
    progress.stop();
    const counts = Object.entries(orders).map(([outcome, count]) => `${count} ${outcome}`);
    console.log(`Orders: ${counts.join(', ')}. Users created: ${importer.usersCreated}.`);
    if (orders.failed > 0) process.exitCode = 1;
  }
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
function describe({ number }: Line, order: ImportedOrder | undefined, { message }: Error): string {
  const reference = order?.reference === undefined ? '' : ` (${order.reference.slice(0, 100)})`;
  return `line ${number}${reference}: ${message}`.replace(/\p{Cc}/gu, ' ');
}
