import { open, stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { ApiClient, Unreachable } from './import/api-client.js';
import { failure, Importer, type Outcome } from './import/importer.js';
import { forEachAtOnce, type Line, readLines } from './import/lines.js';
import { type ImportedOrder, LineFailure, parseOrder } from './import/order.js';
import { showProgress } from './import/progress.js';
import { runCommand } from './run-command.js';

const USAGE = 'Usage: npm run import -- FILE [--url http://localhost:3000] [--concurrency 8]';
const HELP = `${USAGE}

Places the orders of an NDJSON file, one object a line:
  {reference?, placedAt?, customer: {email, name}, currency, shipping?, lines, note?, metadata?}
Customers are found by their e-mail address, or created. Importing a file again places nothing twice: an order is
known by its customer and reference, or without a reference by all that it says (so two equal ones are one).`;

/** Escapes in \\u of a body of 1 MB, the most that the service takes, make this much. */
const LONGEST_LINE = 8_000_000;
const MOST_AT_ONCE = 64;

interface Arguments {
  readonly file: string;
  readonly url: string;
  readonly concurrency: number;
}

/** `npm run import`: places the orders of a file through the HTTP API, each once however often it is run. */
await runCommand(async () => {
  const given = readArguments(process.argv.slice(2));
  if (given === undefined) console.log(HELP);
  else await importFile(given);
});

async function importFile({ file, url, concurrency }: Arguments): Promise<void> {
  const { stream, size } = await openFile(file);
  const client = new ApiClient(url);
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
      if (error instanceof Unreachable) {
        throw new Error(`${error.message}; run the import again to go on: nothing is placed twice`, {
          cause: error,
        });
      }
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

function readArguments(argv: string[]): Arguments | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        url: { type: 'string', default: 'http://localhost:3000' },
        concurrency: { type: 'string', default: '8' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return undefined;
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new Error('Give one file to import.');
    const concurrency = Number(values.concurrency);
    if (!/^\d+$/.test(values.concurrency) || concurrency < 1 || concurrency > MOST_AT_ONCE) {
      throw new Error(`--concurrency must be an integer from 1 to ${MOST_AT_ONCE}.`);
    }
    return { file, url: readUrl(values.url), concurrency };
  } catch (error) {
    throw new Error(`${messageOf(error)}\n${USAGE}`, { cause: error });
  }
}

/** The address without a slash at its end. */
function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!plain || !/^https?:$/.test(url.protocol)) throw new Error('--url must be as http://localhost:3000.');
  return url.href.replace(/\/+$/, '');
}

async function openFile(path: string): Promise<{ stream: AsyncIterable<Buffer>; size: number }> {
  try {
    const status = await stat(path);
    if (status.isDirectory()) throw new Error('it is a directory');
    const handle = await open(path);
    return { stream: handle.createReadStream(), size: status.isFile() ? status.size : 0 };
  } catch (error) {
    throw new Error(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Names the line by its number and reference, never by its customer; control characters cannot reach the terminal. */
function describe({ number }: Line, order: ImportedOrder | undefined, { message }: Error): string {
  const reference = order?.reference === undefined ? '' : ` (${order.reference.slice(0, 100)})`;
  return `line ${number}${reference}: ${message}`.replace(/\p{Cc}/gu, ' ');
}
