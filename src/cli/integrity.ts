import { ApiClient } from './import/api-client.js';
import { failure } from './import/answer.js';
import { isObject } from './import/values.js';
import { type Arguments, CHECK, HELP, readArguments } from './integrity/arguments.js';
import { showProgress } from './progress.js';
import { runCommand } from './run-command.js';
import { travelsInClear } from './service-url.js';

const STEPS = 1_000;

/** `npm run integrity`: checks everything through the HTTP API and names each difference. */
await runCommand(
  async () => {
    const given = readArguments(process.argv.slice(2));
    if (given === undefined) console.log(HELP);
    else await check(given);
  },
  () => 2,
);

async function check({ url, json, credentials }: Arguments): Promise<void> {
  if (travelsInClear(url)) {
    console.error(
      `Warning: the ${credentials.kind} goes to ${url} unencrypted: anybody on the way can read it.`,
    );
  }
  const client = new ApiClient(url, credentials, 1, CHECK);
  const progress = showProgress(STEPS);
  // On a terminal a line would run into the bar.
  const isBeside = process.stdout.isTTY && process.stderr.isTTY;
  const name = (text: string) => (isBeside ? progress.tell(text) : console.log(text));
  let checked = 0;
  let differences = 0;
  let done = 0;
  try {
    for await (const page of pagesOf(client)) {
      for (const each of page.differences) name(json ? JSON.stringify(each) : describe(each));
      checked += page.checked;
      differences += page.differences.length;
      const reached = Math.max(done, Math.round(page.progress * STEPS));
      progress.advance(reached - done);
      done = reached;
    }
  } finally {
    progress.stop();
    if (checked > 0) console.error(`Checked ${checked} rows and events, differences: ${differences}.`);
  }
  if (differences > 0) process.exitCode = 1;
}

interface Page {
  readonly checked: number;
  readonly differences: readonly unknown[];
  readonly progress: number;
  readonly nextCursor: string | null;
}

async function* pagesOf(client: ApiClient): AsyncGenerator<Page> {
  let query = '';
  let page: Page | undefined;
  do {
    // Whoever mistypes the address learns it soon; a walk that has begun is worth more patience.
    const patience = page === undefined ? { attempts: 3 } : {};
    const answer = await client.send('GET', `/v1/audit/integrity${query}`, patience);
    if (answer.status !== 200 || !isPage(answer.body)) throw new Error(failure(answer).message);
    page = answer.body;
    yield page;
    query = `?cursor=${page.nextCursor}`;
  } while (page.nextCursor !== null);
}

function isPage(body: unknown): body is Page {
  return isObject(body) && Array.isArray(body.differences) && 'nextCursor' in body;
}

/** One line, whatever the answer holds: control characters cannot reach the terminal. */
function describe(difference: unknown): string {
  if (!isObject(difference)) return String(difference);
  const { subject, version, where, code, expected, actual, eventId } = difference;
  const text = (value: unknown) =>
    typeof value === 'string' || typeof value === 'number' ? String(value) : '-';
  const { type, id } = isObject(subject) ? subject : {};
  return [
    `${text(type)} ${text(id)}, version ${text(version)}: ${text(code)}${where === '' ? '' : ` at ${text(where)}`}`,
    ...(expected === null && actual === null ? [] : [`expected ${text(expected)}, is ${text(actual)}`]),
    ...(eventId === null ? [] : [`event ${text(eventId)}`]),
  ]
    .join('; ')
    .replace(/\p{Cc}/gu, ' ');
}
