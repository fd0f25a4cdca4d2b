import { randomInt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { verifyCheckpoint } from '@sigstore/verify/dist/tlog/checkpoint.js';
import { verifyMerkleInclusion } from '@sigstore/verify/dist/tlog/merkle.js';
import { formatTreeHead, parseTreeHead } from '../../src/audit/log/checkpoint.js';
import { openNote, parseVerifier, type Verifier } from '../../src/audit/log/note.js';
import { verifyInclusion } from '../../src/audit/log/tree.js';
import { LogIdentity } from '../../src/audit/log-identity.js';
import { runCli, runProgram } from '../support/cli.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { type Claim, flipBit, mutations } from '../support/mutations.js';
import { createUser, placeOrder } from '../support/samples.js';
import { referenceLeaf, ReferenceTree } from '../support/reference-tree.js';
import { startService, type TestService } from '../support/service.js';
import { serveFolder } from '../support/static-server.js';
import { addLeaves, growLog, verifierKey } from '../support/synthetic-log.js';

/*
 * Verifiers that we did not write read what the service serves: @sigstore/verify (its checks of Rekor's checkpoints and
 * proofs, by their modules, as it exports only the whole of a Sigstore bundle) and Go's checksum database.
 */

interface EventProof {
  entry: Buffer;
  index: number;
  size: number;
  hashes: Buffer[];
  checkpoint: string;
}

const ORACLE = new URL('../oracle', import.meta.url).pathname;

let database: TestDatabase;
let service: TestService;
let folder: string;
let earlier: string;
let events: { id: string }[];
let verifiers: Verifier[];
beforeAll(async () => {
  database = await createDatabase();
  service = await startService({}, database);
  const order = await placeOrder(service, (await createUser(service)).id);
  await service.send('post', `/v1/orders/${order.id}/cancel`).expect(200);
  earlier = await growLog(service, 3);
  await growLog(service, 290);
  events = await database.query<{ id: string }>(
    'SELECT id FROM audit_events ORDER BY seq % 7, seq LIMIT 100',
  );
  verifiers = [parseVerifier(verifierKey(service))];
  folder = await mkdtemp(join(tmpdir(), 'ordo-oracle-'));
});
afterAll(async () => {
  await service.stop();
  await database.drop();
  await rm(folder, { recursive: true });
});

async function proofOf({ id }: { id: string }): Promise<EventProof> {
  const { body } = await service.send('get', `/v1/audit/events/${id}/proof`).expect(200);
  const { entry, leafIndex, treeSize, hashes, checkpoint } = body as {
    entry: string;
    leafIndex: number;
    treeSize: number;
    hashes: string[];
    checkpoint: string;
  };
  const bytes = (text: string) => Buffer.from(text, 'base64');
  return { entry: bytes(entry), index: leafIndex, size: treeSize, hashes: hashes.map(bytes), checkpoint };
}

/** Whether what `verify` does passes without an error. */
function accepts(verify: () => unknown): boolean {
  try {
    return verify() !== false;
  } catch {
    return false;
  }
}

describe('@sigstore/verify', () => {
  type TLogEntry = Parameters<typeof verifyMerkleInclusion>[0];
  type Checkpoint = Parameters<typeof verifyMerkleInclusion>[1];

  const toEntry = (body: Buffer, { index, hashes, size, root }: Claim, envelope = '') =>
    ({
      canonicalizedBody: body,
      inclusionProof: {
        logIndex: String(index),
        treeSize: String(size),
        rootHash: root,
        hashes: [...hashes],
        checkpoint: { envelope },
      },
    }) as unknown as TLogEntry;
  const authorities = () =>
    verifiers.map(({ name, id, key }) => ({
      logID: id,
      publicKey: key,
      baseURL: `https://${name}`,
      validFor: { start: new Date(0), end: new Date('9999-01-01') },
    }));
  const bySigstore = (entry: Buffer, claim: Claim) =>
    accepts(() => {
      const checkpoint = { logSize: BigInt(claim.size), logHash: claim.root } as Checkpoint;
      verifyMerkleInclusion(toEntry(entry, claim), checkpoint);
    });
  const byUs = (entry: Buffer, { index, size, hashes, root }: Claim) =>
    verifyInclusion(referenceLeaf(entry), index, size, hashes, root);
  const opens = {
    sigstore: (note: string) =>
      accepts(() =>
        verifyCheckpoint(
          toEntry(Buffer.alloc(0), { index: 0, size: 1, hashes: [], root: Buffer.alloc(32) }, note),
          authorities(),
        ),
      ),
    we: (note: string) => accepts(() => parseTreeHead(openNote(note, verifiers))),
  };

  it('accepts the checkpoint and the proof of every event, and none of them mutated in one of six ways', async () => {
    const tree = new ReferenceTree((index) => leaves[index] ?? referenceLeaf(Buffer.from('none')));
    const rows = await database.query<{ hash: Buffer }>('SELECT hash FROM audit_leaves ORDER BY leaf_index');
    const leaves = rows.map(({ hash }) => hash);
    expect(events.length).toBe(100);
    const refused: Record<string, number> = {};
    for (const event of events) {
      const { entry, checkpoint, ...proof } = await proofOf(event);
      expect([opens.sigstore(checkpoint), opens.we(checkpoint)]).toEqual([true, true]);
      const claim: Claim = { ...proof, root: parseTreeHead(openNote(checkpoint, verifiers)).root };
      expect([bySigstore(entry, claim), byUs(entry, claim)]).toEqual([true, true]);
      for (const [kind, mutate] of Object.entries(mutations)) {
        const wrong = mutate(claim, (size) => tree.root(size));
        if (wrong === undefined) continue;
        expect([kind, bySigstore(entry, wrong), byUs(entry, wrong)]).toEqual([kind, false, false]);
        refused[kind] = (refused[kind] ?? 0) + 1;
      }
    }
    expect(refused).toEqual(Object.fromEntries(Object.keys(mutations).map((kind) => [kind, 100])));
  });

  it('opens no checkpoint that was mutated in one of six ways, and neither do we', async () => {
    const { checkpoint } = await proofOf(events[0]!);
    const [origin = '', size = '', root = '', , line = ''] = checkpoint.split('\n');
    const [dash = '', name = '', encoded = ''] = line.split(' ');
    const signature = Buffer.from(encoded, 'base64');
    const note = (text: string[], signed: string[]) => `${text.join('\n')}\n\n${signed.join(' ')}\n`;
    const withRoot = (bytes: Buffer) => [origin, size, bytes.toString('base64')];
    const withSignature = (bytes: Buffer) => [dash, name, bytes.toString('base64')];
    const text = [origin, size, root];
    const other = formatTreeHead({ origin, size: 1, root: Buffer.alloc(32) });
    const kinds: Record<string, () => string> = {
      'another size': () => note([origin, String(Number(size) + 1), root], [dash, name, encoded]),
      'another root': () =>
        note(withRoot(flipBit(Buffer.from(root, 'base64'), randomInt(256))), [dash, name, encoded]),
      'another signature': () => note(text, withSignature(flipBit(signature, 32 + randomInt(512)))),
      'another key': () => note(text, withSignature(flipBit(signature, randomInt(32)))),
      'another name': () => note(text, [dash, `${name}x`, encoded]),
      'another text': () => `${other}\n${line}\n`,
    };
    expect(opens.sigstore(note(text, [dash, name, encoded]))).toBe(true);
    for (const [kind, make] of Object.entries(kinds)) {
      for (let round = 0; round < 20; round++) {
        const mutated = make();
        expect([kind, opens.sigstore(mutated), opens.we(mutated)]).toEqual([kind, false, false]);
      }
    }
    expect(service.app.get(LogIdentity).origin).toBe(name);
  });
});

const go = (await runProgram('go', ['version']).catch(() => undefined))?.code === 0;
if (!go) process.stderr.write('!!! Go is not installed: its checksum database does not check the log !!!\n');

(go ? describe : describe.skip)("Go's checksum database", () => {
  let oracle: string;
  beforeAll(async () => {
    oracle = join(folder, 'oracle');
    const built = await runProgram('go', ['build', '-C', ORACLE, '-o', oracle, '.']);
    expect(built).toMatchObject({ code: 0 });
    await writeFile(join(folder, 'earlier.txt'), earlier);
  }, 300_000);

  const ask = (log: string, ...args: string[]) =>
    runProgram(oracle, [
      ...['-log', log, '-key', verifierKey(service), '-earlier', join(folder, 'earlier.txt')],
      ...args,
    ]);
  const log = () => `${service.url}/v1/audit/log`;

  it('agrees with inclusion, consistency, entries and notes of a running service', async () => {
    const proofs = events.map(({ id }) => `${service.url}/v1/audit/events/${id}/proof`);
    const { code, out, err } = await ask(log(), '-token', service.adminToken, ...proofs);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^agreed: \d+ leaves, 100 proofs of events$/m);
  });

  it('agrees with a log that was exported to files', async () => {
    const target = join(folder, 'exported');
    const key = { ORDO_TOKEN: service.adminToken };
    expect((await runCli('export-log', [target, '--url', service.url], key)).code).toBe(0);
    const server = await serveFolder(target);
    const { code, err } = await ask(server.url, '-token', 'anybody');
    await server.stop();
    expect({ code, err }).toEqual({ code: 0, err: '' });
  });

  it('agrees with a tree of three levels of tiles, in any width', async () => {
    await addLeaves(service, 66_000);
    const { code, err } = await ask(log());
    expect({ code, err }).toEqual({ code: 0, err: '' });
  }, 60_000);

  it('disagrees once a hash in a tile is another', async () => {
    await database.query(`SET session_replication_role = replica;
      UPDATE audit_subtrees SET hash = sha256(hash) WHERE level = 1 AND position = 7`);
    const { code, err } = await ask(log(), '-random', '200');
    expect(code).toBe(1);
    expect(err).toMatch(/inconsistent|invalid|not/i);
  });
});

describe('a tree of three levels of tiles', () => {
  it('has the tiles of the reference, in any width up to the full one', async () => {
    const rows = await database.query<{ hash: Buffer }>('SELECT hash FROM audit_leaves ORDER BY leaf_index');
    if (rows.length < 65_536) await addLeaves(service, 66_000);
    const leaves = await database.query<{ hash: Buffer }>(
      'SELECT hash FROM audit_leaves ORDER BY leaf_index',
    );
    const tree = new ReferenceTree((index) => leaves[index]!.hash);
    const tiles: [number, string, number, number][] = [
      ...[1, 100, 255, 256].map((width): [number, string, number, number] => [0, '003', 3, width]),
      [1, '000', 0, 5],
      [2, '000', 0, 1],
    ];
    for (const [level, place, index, width] of tiles) {
      const path = width === 256 ? place : `${place}.p/${width}`;
      const { body } = await service
        .as(undefined)
        .send('get', `/v1/audit/log/tile/${level}/${path}`)
        .expect(200);
      const below = 256 ** level;
      const hashes = Array.from({ length: width }, (_, offset) => {
        const begin = (index * 256 + offset) * below;
        return tree.hashOf(begin, begin + below);
      });
      expect([level, path, (body as Buffer).equals(Buffer.concat(hashes))]).toEqual([level, path, true]);
    }
  }, 60_000);
});
