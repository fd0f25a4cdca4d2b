import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { tamper } from '../support/forgery.js';
import { createKey } from '../support/people.js';
import { createUser, placeOrder } from '../support/samples.js';
import { startService, type TestService } from '../support/service.js';

const COMMAND = fileURLToPath(new URL('../../dist/src/cli/integrity.js', import.meta.url));

interface Run {
  readonly code: number | null;
  readonly output: string[];
  readonly errors: string[];
}

async function run(program: string, parameters: string[], environment: Record<string, string>): Promise<Run> {
  const child = spawn(program, parameters, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = new Promise<number | null>((resolve) => void child.once('close', resolve));
  const [code, output, errors] = await Promise.all([end, text(child.stdout), text(child.stderr)]);
  for (const secret of Object.values(environment)) expect(output + errors).not.toContain(secret);
  const lines = (all: string) => all.split('\n').filter((line) => line !== '');
  return { code, output: lines(output), errors: lines(errors) };
}

let service: TestService;
let tampered: TestService;
let database: TestDatabase;
let key: string;
let tamperedKey: string;
let victim: string;
beforeAll(async () => {
  database = await createDatabase();
  [service, tampered] = await Promise.all([startService(), startService({}, database)]);
  key = await createKey(service, ['audit:read']);
  tamperedKey = await createKey(tampered, ['audit:read']);
  await placeOrder(service, (await createUser(service)).id);
  victim = (await placeOrder(tampered, (await createUser(tampered)).id)).id;
  await tamper(database, [`UPDATE orders SET note = 'planted' WHERE id = $1`, victim]);
});
afterAll(async () => {
  await service.stop();
  await tampered.stop();
  await database.drop();
});

const check = (url: string, environment: Record<string, string>, ...options: string[]) =>
  run(process.execPath, [COMMAND, '--url', url, ...options], environment);

it('ends with 0 when there is no difference, and says how much it has checked', async () => {
  const [row] = await service.database.query<{ count: string }>(
    `SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM orders) + (SELECT count(*) FROM api_keys)
          + (SELECT count(*) FROM audit_events) AS count`,
  );
  expect(await check(service.url, { ORDO_API_KEY: key })).toEqual({
    code: 0,
    output: [],
    errors: [`Checked ${row?.count} rows and events, differences: 0.`],
  });
});

it('takes an access token as well', async () => {
  const { code } = await check(service.url, { ORDO_TOKEN: service.adminToken });
  expect(code).toBe(0);
});

it('ends with 1 when there is one, and names it on standard output', async () => {
  const { code, output, errors } = await check(tampered.url, { ORDO_API_KEY: tamperedKey });
  expect({ code, output }).toEqual({ code: 1, output: [`order ${victim}, version 1: row-differs at /note`] });
  expect(errors.at(-1)).toMatch(/^Checked \d+ rows and events, differences: 1\.$/);
});

it('names it for programs with --json', async () => {
  const { code, output } = await check(tampered.url, { ORDO_API_KEY: tamperedKey }, '--json');
  expect({ code, output: output.map((line) => JSON.parse(line) as object) }).toEqual({
    code: 1,
    output: [
      {
        subject: { type: 'order', id: victim },
        version: 1,
        eventId: null,
        where: '/note',
        code: 'row-differs',
        expected: null,
        actual: null,
      },
    ],
  });
});

it('ends with 2 when the service cannot be reached or does not let it in', async () => {
  const wrong = await createKey(service, ['orders:read']);
  for (const [url, secret, message] of [
    ['http://127.0.0.1:1', key, /cannot be reached/],
    [service.url, wrong, /refuses the API key: it needs the scope audit:read/],
    [service.url, tamperedKey, /refuses the API key: it is mistyped, expired or revoked/],
  ] as const) {
    const { code, output, errors } = await check(url, { ORDO_API_KEY: secret });
    expect({ code, output }).toEqual({ code: 2, output: [] });
    expect(errors.join('\n')).toMatch(message);
  }
});

it.each([
  ['an unknown option', ['--fast'], { ORDO_API_KEY: 'some-key' }, /Unknown option '--fast'/],
  ['a file', ['orders.ndjson'], { ORDO_API_KEY: 'some-key' }, /Unexpected argument/],
  ['no address', ['--url', 'here'], { ORDO_API_KEY: 'some-key' }, /--url must be/],
  ['no credentials', [], {}, /Set ORDO_API_KEY/],
  ['both credentials', [], { ORDO_API_KEY: 'a-key', ORDO_TOKEN: 'a-token' }, /are both set/],
])('ends with 2 for %s', async (_name, parameters, environment: Record<string, string>, message) => {
  const { code, output, errors } = await run(process.execPath, [COMMAND, ...parameters], environment);
  expect({ code, output }).toEqual({ code: 2, output: [] });
  expect(errors.join('\n')).toMatch(message);
});

it('tells how it is used', async () => {
  const { code, output } = await run(process.execPath, [COMMAND, '--help'], {});
  expect({ code, usage: output[0] }).toEqual({
    code: 0,
    usage: expect.stringContaining('npm run integrity'),
  });
});

/** Of util-linux: runs a command on a terminal of its own. */
const SCRIPT = '/usr/bin/script';
const onTerminal = process.platform === 'linux' && existsSync(SCRIPT) ? it : it.skip;

onTerminal('shows on a terminal how far it is, with each difference on a line of its own', async () => {
  const command = `${process.execPath} ${COMMAND} --url ${tampered.url}`;
  const { code, output } = await run(SCRIPT, ['--quiet', '--return', '--command', command, '/dev/null'], {
    ORDO_API_KEY: tamperedKey,
    TERM: 'xterm',
    SHELL: '/bin/sh',
  });
  expect(code).toBe(1);
  const shown = output.join('\n');
  expect(shown).toMatch(/█.* 100 % \|/);
  expect(shown).toContain(`order ${victim}, version 1: row-differs at /note`);
});
