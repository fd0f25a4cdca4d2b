import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readArguments } from '../src/cli/import/arguments.js';
import { travelsInClear } from '../src/cli/service-url.js';
import { type Environment, IMPORT_SCOPES, ImportFiles, SAMPLE, startImport } from './support/import.js';

let files: ImportFiles;
beforeAll(async () => {
  files = await ImportFiles.create();
});
afterAll(() => files.remove());

describe('an import that cannot start', () => {
  const KEY = { ORDO_API_KEY: 'ordo_secret' };
  const errorOf = (parameters: string[], environment: Environment) => {
    try {
      readArguments(parameters, environment);
    } catch (error) {
      return String(error).replace(/^\w+: /, '');
    }
    return undefined;
  };

  it.each([
    [[], 'Give one file to import.'],
    [['a', 'b'], 'Give one file to import.'],
    [['--fast', SAMPLE], "Unknown option '--fast'"],
    [['--apikey=ordo_secret', SAMPLE], "Unknown option '--apikey'"],
    [[SAMPLE, '--token', '--api-key', 'ordo_secret'], "Option '--token' argument is ambiguous"],
    [[SAMPLE, '--concurrency', '0'], '--concurrency must be'],
    [[SAMPLE, '--concurrency', '1.5'], '--concurrency must be'],
    [[SAMPLE, '--url', 'localhost:3000'], '--url must be'],
    [[SAMPLE, '--url', 'http://ada:secret@localhost'], '--url must be'],
  ])('answers %j with the usage', (parameters, message) => {
    const error = errorOf(parameters, KEY);
    expect(error).toContain(message);
    expect(error).toMatch(/\nUsage: npm run import -- FILE .*$/);
    expect(error).not.toContain('secret');
  });

  it('tells in one line how to get an API key, before it looks at the file', async () => {
    expect(await startImport(['no-such-file'], {}).done).toEqual({
      code: 1,
      output: '',
      errors: [expect.stringMatching(/ORDO_API_KEY.*POST \/v1\/api-keys .*"scopes": \["orders:write",/)],
    });
  });

  it.each<[string, string[], Environment, string]>([
    [
      'both as options',
      ['--api-key', 'secret', '--token', 'secret'],
      {},
      '--api-key and --token are both set: give one.',
    ],
    [
      'both as variables',
      [],
      { ORDO_API_KEY: 'secret', ORDO_TOKEN: 'secret' },
      'ORDO_API_KEY and ORDO_TOKEN are both set: give one.',
    ],
    [
      'a variable and its file',
      [],
      { ORDO_TOKEN: 'secret', ORDO_TOKEN_FILE: 'secret' },
      'ORDO_TOKEN and ORDO_TOKEN_FILE are both set',
    ],
    [
      'a file that is not there',
      [],
      { ORDO_API_KEY_FILE: '/no/secret' },
      'ORDO_API_KEY cannot be read from the file that ORDO_API_KEY_FILE names',
    ],
    [
      'nothing behind the option',
      ['--api-key', ''],
      KEY,
      '--api-key is no API key: check how it was copied.',
    ],
    [
      'what is no header',
      [],
      { ORDO_TOKEN: 'sec\nret' },
      'ORDO_TOKEN is no access token: check how it was copied.',
    ],
  ])('tells in one line of %s', (_what, options, environment, message) => {
    expect(errorOf([SAMPLE, ...options], environment)).toBe(message);
  });

  it('takes credentials from the command line, or else from a variable or its file', async () => {
    const file = await files.write('ordo_filed\n');
    const read = (options: string[], environment: Environment) =>
      readArguments([SAMPLE, ...options], environment)?.credentials;
    expect(read([], KEY)).toEqual({ kind: 'API key', text: 'ordo_secret' });
    expect(read([], { ORDO_API_KEY_FILE: file, ORDO_TOKEN: '' })).toEqual({
      kind: 'API key',
      text: 'ordo_filed',
    });
    expect(read([], { ORDO_TOKEN: ' a.b-c_d= ' })).toEqual({ kind: 'access token', text: 'a.b-c_d=' });
    const unread = { ...KEY, ORDO_TOKEN_FILE: '/no/such/file' };
    expect(read(['--token', 'a.b.c'], unread)).toEqual({ kind: 'access token', text: 'a.b.c' });
  });

  it('shows help without credentials', async () => {
    const { code, output } = await startImport(['--help'], {}).done;
    expect(code).toBe(0);
    expect(output).toMatch(/^Usage: .*\n\nPlaces/);
    for (const name of ['ORDO_API_KEY', '--token', 'ORDO_TOKEN_FILE', ...IMPORT_SCOPES])
      expect(output).toContain(name);
  });

  it('tells of a file that is missing, or a directory', async () => {
    const missing = join(files.folder, 'no-such-file');
    const runs = [missing, files.folder].map((file) => startImport([file], KEY).done);
    const [first, second] = await Promise.all(runs);
    expect(first).toMatchObject({
      code: 1,
      errors: [expect.stringMatching(`^${missing} cannot be read: ENOENT`)],
    });
    expect(second).toMatchObject({ code: 1, errors: [`${files.folder} cannot be read: it is a directory`] });
  });

  it('tells in one line that the service cannot be reached, and warns when others could read the key', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    // Leads to this machine, but is no address of it.
    const url = `http://0.0.0.0:${port}`;
    expect(await startImport([SAMPLE, '--url', url], KEY).done).toEqual({
      code: 1,
      output: '',
      errors: [
        `Warning: the API key goes to ${url} unencrypted: anybody on the way can read it.`,
        `${url} cannot be reached (ECONNREFUSED): is it running, and is --url right?`,
      ],
    });
  });

  it.each([
    ['http://localhost:3000', false],
    ['http://127.1.2.3', false],
    ['http://[::1]:3000', false],
    ['https://shop.example', false],
    ['http://shop.example', true],
    ['http://127.0.0.1.shop.example', true],
    ['http://localhost.shop.example', true],
    ['http://10.0.0.1:3000', true],
  ])('%s travels in clear: %p', (url, expected) => {
    expect(travelsInClear(url)).toBe(expected);
  });
});

describe('the sample', () => {
  it('holds only addresses that nobody has', () => {
    const emails = readFileSync(SAMPLE, 'utf8').match(/"email": "[^"]*"/g) ?? [];
    expect(new Set(emails).size).toBe(3);
    expect(emails.every((email) => email.endsWith('@example.com"'))).toBe(true);
  });
});
