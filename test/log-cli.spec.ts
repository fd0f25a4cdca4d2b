import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseVerifier } from '../src/audit/log/note.js';
import { FolderSource } from '../src/cli/log/source.js';
import { verifyLog } from '../src/cli/log/verify-log.js';
import { runCli } from './support/cli.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { createKey, createPerson } from './support/people.js';
import { placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';
import { serveFolder } from './support/static-server.js';
import { growLog, publish, verifierKey } from './support/synthetic-log.js';

/** The key of Go's example of a signed note. */
const STRANGER = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';

let database: TestDatabase;
let service: TestService;
let auditor: { ORDO_API_KEY: string };
let checkpoint: string;
let size: number;
let folder: string;
beforeAll(async () => {
  database = await createDatabase();
  service = await startService({}, database);
  auditor = { ORDO_API_KEY: await createKey(service, ['audit:read']) };
  await placeOrder(service, undefined);
  checkpoint = await growLog(service, 520);
  size = Number(checkpoint.split('\n')[1]);
  folder = await mkdtemp(join(tmpdir(), 'ordo-log-'));
});
afterAll(async () => {
  await service.stop();
  await database.drop();
  await rm(folder, { recursive: true });
});

const key = () => ['--key', verifierKey(service)];
const verify = (args: string[], environment = {}) => runCli('verify', args, environment);
const file = async (name: string, content: string) => {
  await writeFile(join(folder, name), content);
  return join(folder, name);
};
const filesOf = async (where: string) =>
  (await readdir(where, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(where.length + 1))
    .sort();

/** What `verify` would say about a folder, in this process: there are many to look at. */
async function faultOf(where: string): Promise<string> {
  const verifiers = [parseVerifier(verifierKey(service))];
  const found = verifyLog(new FolderSource(where), { verifiers, earlier: [], entries: true });
  return found.then(() => 'none').catch((error: unknown) => String(error));
}

describe('npm run verify', () => {
  it('checks the log of a service with its entries', async () => {
    const kept = await file('kept.txt', checkpoint);
    const args = ['--url', service.url, ...key(), '--checkpoint', kept];
    const { code, out, err } = await verify(args, auditor);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain(`${size} leaves, root ${checkpoint.split('\n')[2]}`);
    expect(out).toContain(`Every leaf is that of its entry (${size}).`);
    expect(out).toContain('Earlier checkpoints that it continues: 1.');
  });

  it('says plainly that entries were not checked, and only when it was told to leave them out', async () => {
    const told = await verify(['--url', `${service.url}/v1/audit/log`, ...key(), '--tiles-only']);
    expect(told).toMatchObject({ code: 0, out: expect.stringContaining('Entries were NOT checked') });
    const customer = (await createPerson(service)).accessToken;
    for (const [environment, who] of [
      [{}, 'refuses whoever does not sign in (401)'],
      [{ ORDO_TOKEN: customer }, 'refuses the access token (403)'],
    ] as const) {
      const { code, out, err } = await verify(['--url', service.url, ...key()], environment);
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toContain(who);
      expect(err).toContain('--tiles-only');
    }
  });

  it('ends with 1 for a log that is not what it claims to be, and names what is wrong', async () => {
    const other = await file(
      'other.txt',
      checkpoint.replaceAll(checkpoint.split('\n')[0]!, 'another.example/log'),
    );
    const later = await file('later.txt', checkpoint.replace(`\n${size}\n`, `\n${size + 1}\n`));
    for (const [checkpointFile, message] of [
      [other, /other\.txt: The note has no signature of a known key/],
      [later, /later\.txt: The signature of \S+ is wrong/],
    ] as const) {
      const args = ['--url', service.url, ...key(), '--tiles-only', '--checkpoint', checkpointFile];
      const { code, out, err } = await verify(args);
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(message);
    }
    const wrongKey = await verify(['--url', service.url, '--key', STRANGER, '--tiles-only']);
    expect(wrongKey).toMatchObject({
      code: 1,
      err: expect.stringContaining('checkpoint: The note has no signature of a known key'),
    });
  });

  it('ends with 2 where nothing can be found out', async () => {
    for (const args of [
      [],
      ['--url', service.url],
      ['--url', service.url, '--dir', folder, ...key()],
      ['--url', service.url, '--key', 'no key'],
      ['--url', 'ftp://localhost', ...key()],
      ['--url', service.url, ...key(), '--checkpoint', join(folder, 'absent.txt')],
      ['--url', `${service.url}/nothing`, ...key(), '--tiles-only'],
    ]) {
      const { code, out, err } = await verify(args);
      expect([args, code, out, err !== '']).toEqual([args, 2, '', true]);
    }
    expect((await verify(['--help'])).code).toBe(0);
  });
});

describe('npm run export-log', () => {
  const target = () => join(folder, 'log');
  const exportLog = (args: string[] = []) =>
    runCli('export-log', [target(), '--url', service.url, ...args], auditor);

  it('writes what a static web server can serve, and goes on where it was', async () => {
    const first = await exportLog();
    expect(first).toMatchObject({ code: 0, err: '' });
    const partial = size - 512;
    expect(await filesOf(target())).toEqual([
      'checkpoint',
      'key',
      'tile/0/000',
      'tile/0/001',
      `tile/0/002.p/${partial}`,
      'tile/1/000.p/2',
      'tile/entries/000',
      'tile/entries/001',
      `tile/entries/002.p/${partial}`,
    ]);
    const before = await stat(join(target(), 'tile/entries/000'));

    const grown = await growLog(service, 300);
    const second = await exportLog();
    expect(second).toMatchObject({ code: 0, out: expect.stringContaining(' 4 kept') });
    const left = Number(grown.split('\n')[1]) - 768;
    expect((await filesOf(target())).filter((path) => path.includes('.p'))).toEqual([
      `tile/0/003.p/${left}`,
      'tile/1/000.p/3',
      `tile/entries/003.p/${left}`,
    ]);
    expect(await stat(join(target(), 'tile/entries/000'))).toEqual(before);
    expect(await readFile(join(target(), 'checkpoint'), 'utf8')).toBe(grown);

    const kept = await file('kept.txt', checkpoint);
    const offline = await verify(['--dir', target(), ...key(), '--checkpoint', kept]);
    expect(offline).toMatchObject({
      code: 0,
      out: expect.stringContaining('Every leaf is that of its entry'),
    });
    const server = await serveFolder(target());
    const served = await verify(['--url', server.url, ...key(), '--checkpoint', kept]);
    await server.stop();
    expect(served).toMatchObject({
      code: 0,
      out: expect.stringContaining('Every leaf is that of its entry'),
    });
    expect(server.requests.slice(0, 2)).toEqual(['/checkpoint', '/checkpoint']);
  });

  it('is found out when a file of it is changed, cut short or missing', async () => {
    const files = (await filesOf(target())).filter((path) => path !== 'key');
    for (const path of files) {
      const whole = join(target(), path);
      const bytes = await readFile(whole);
      const broken = Buffer.from(bytes);
      broken[broken.length >> 1] = (broken[broken.length >> 1] ?? 0) ^ 4;
      for (const content of [broken, bytes.subarray(0, -1), undefined]) {
        await (content === undefined ? rm(whole) : writeFile(whole, content));
        expect([path, await faultOf(target())]).toEqual([
          path,
          expect.stringMatching(/^Fault: (leaf \d+|tile\/\S+|checkpoint)/),
        ]);
        await writeFile(whole, bytes);
      }
    }
    expect((await verify(['--dir', target(), ...key()])).code).toBe(0);
  });

  it('leaves the folder alone when the log does not continue it', async () => {
    const before = await readFile(join(target(), 'checkpoint'), 'utf8');
    await database.query(`SET session_replication_role = replica;
      UPDATE audit_leaves SET hash = sha256('${randomUUID()}'::bytea) WHERE leaf_index = 800;
      DELETE FROM audit_checkpoints`);
    await growLog(service, 10);
    const refused = await exportLog();
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('does not continue') });
    await database.query(`SET session_replication_role = replica;
      DELETE FROM audit_leaves WHERE leaf_index >= 790; DELETE FROM audit_checkpoints`);
    await publish(service);
    const shrunk = await exportLog();
    expect(shrunk).toMatchObject({ code: 1, err: expect.stringContaining('leaves are lost') });
    expect(await readFile(join(target(), 'checkpoint'), 'utf8')).toBe(before);
  });

  it('leaves out the entries when it is told to', async () => {
    const bare = join(folder, 'bare');
    const made = await runCli('export-log', [bare, '--url', service.url, '--tiles-only']);
    expect(made).toMatchObject({ code: 0, out: expect.stringContaining('Entries were left out') });
    expect((await filesOf(bare)).filter((path) => path.includes('entries'))).toEqual([]);
    expect((await verify(['--dir', bare, ...key(), '--tiles-only'])).code).toBe(0);
    const missing = await verify(['--dir', bare, ...key()]);
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('tile/entries/000 is missing') });
    expect((await runCli('export-log', [bare, '--url', service.url])).code).toBe(2);
  });
});
