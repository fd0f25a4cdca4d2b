import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseVerifier } from '../src/audit/log/note.js';
import { formatProof, parseProof } from '../src/audit/log/proof.js';
import { verifyProof } from '../src/cli/log/verify-proof.js';
import { runCli } from './support/cli.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import type { AuditEvent } from './support/log-client.js';
import { flipBit } from './support/mutations.js';
import { placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';
import { growLog, verifierKey } from './support/synthetic-log.js';

interface Proof extends Record<string, unknown> {
  leafIndex: number;
  treeSize: number;
  leafHash: string;
  hashes: string[];
  checkpoint: string;
  entry: string;
  salt: string | null;
  state: string | null;
}

let database: TestDatabase;
let service: TestService;
let folder: string;
let text: string;
let json: Proof;
let key: string;
beforeAll(async () => {
  // What is added here are no events of the service.
  database = await createDatabase();
  service = await startService({}, database);
  await placeOrder(service, undefined);
  await growLog(service, 40);
  const events = await service.send('get', '/v1/audit/events?action=order.placed').expect(200);
  const [event] = (events.body as { data: AuditEvent[] }).data;
  const ask = (accept: string) =>
    service.send('get', `/v1/audit/events/${event!.id}/proof`).set('Accept', accept).expect(200);
  text = (await ask('text/plain')).text;
  json = (await ask('application/json')).body as Proof;
  key = verifierKey(service);
  folder = await mkdtemp(join(tmpdir(), 'ordo-proof-'));
});
afterAll(async () => {
  await service.stop();
  await database.drop();
  await rm(folder, { recursive: true });
});

async function verify(content: string, args: string[] = []) {
  const file = join(folder, 'proof');
  await writeFile(file, content);
  return runCli('verify', ['--proof', file, '--key', key, ...args]);
}

function faultOf(content: string): string {
  try {
    verifyProof(content, [parseVerifier(key)]);
    return 'none';
  } catch (error) {
    return String(error);
  }
}

const flip = (base64: string, bit = 9) => flipBit(Buffer.from(base64, 'base64'), bit).toString('base64');

describe('npm run verify -- --proof', () => {
  it('tells of a proof, as text or JSON, what is proven, and asks nobody', async () => {
    for (const content of [text, JSON.stringify(json, null, 2)]) {
      const { code, out, err } = await verify(content);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain(`is leaf ${json.leafIndex} of ${json.treeSize}. The signature and the proof`);
      expect(out).toMatch(/order\.placed of order [0-9a-f-]{36}/);
      expect(out.includes('The state is the one')).toBe(content !== text);
    }
    expect(faultOf(JSON.stringify({ ...json, salt: null, state: null }))).toBe('none');
  });

  it('ends with 1 and names what is wrong', async () => {
    const broken = await verify(JSON.stringify({ ...json, state: flip(json.state!) }));
    expect(broken).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('state: it is not the one that the entry commits to'),
    });
    expect(await verify('')).toMatchObject({ code: 1, out: '', err: expect.stringContaining('no proof') });
  });

  it('ends with 2 where nothing can be found out', async () => {
    const file = join(folder, 'proof');
    await writeFile(file, text);
    for (const args of [
      ['--proof', join(folder, 'absent'), '--key', key],
      ['--proof', file],
      ['--proof', file, '--url', service.url, '--key', key],
      ['--proof', file, '--key', key, '--tiles-only'],
      ['--proof', file, '--key', key, '--checkpoint', file],
    ]) {
      const { code, out, err } = await runCli('verify', args);
      expect([args, code, out, err !== '']).toEqual([args, 2, '', true]);
    }
  });
});

describe('a proof is refused', () => {
  it('whatever byte of it is another', () => {
    const faults = new Map<string, number>();
    for (let position = 0; position < text.length; position++) {
      const character = text[position] === 'A' ? 'B' : 'A';
      const fault = faultOf(text.slice(0, position) + character + text.slice(position + 1));
      expect([position, fault]).toEqual([position, expect.stringMatching(/^Fault: /)]);
      const kind = fault.replace(/\d+/g, 'n').slice(0, 40);
      faults.set(kind, (faults.get(kind) ?? 0) + 1);
    }
    expect(faults.size).toBeGreaterThan(3);
  });

  const wrong: Record<string, [() => object, string]> = {
    'another index': [() => ({ leafIndex: json.leafIndex + 1 }), 'entry, index and hashes do not lead'],
    'an index beyond the tree': [() => ({ leafIndex: json.treeSize }), 'covers only'],
    'a negative index': [() => ({ leafIndex: -1 }), 'leafIndex: this is no number'],
    'another size': [() => ({ treeSize: json.treeSize + 1 }), 'treeSize: it is'],
    'another leaf hash': [() => ({ leafHash: flip(json.leafHash) }), 'leafHash: it is not that of the entry'],
    'another entry': [() => ({ entry: flip(json.entry) }), 'leafHash: it is not that of the entry'],
    'a flipped bit in a hash': [
      () => ({ hashes: json.hashes.with(1, flip(json.hashes[1]!)) }),
      'entry, index and hashes do not lead',
    ],
    'a hash too few': [() => ({ hashes: json.hashes.slice(1) }), 'entry, index and hashes do not lead'],
    'a hash too many': [
      () => ({ hashes: [...json.hashes, json.leafHash] }),
      'entry, index and hashes do not lead',
    ],
    'two hashes swapped': [
      () => ({ hashes: [json.hashes[1], json.hashes[0], ...json.hashes.slice(2)] }),
      'entry, index and hashes do not lead',
    ],
    'a short hash': [() => ({ hashes: ['AAAA'] }), 'hashes/0: this is no base64 of 32 bytes'],
    'another salt': [() => ({ salt: flip(json.salt!) }), 'state: it is not the one'],
    'a salt alone': [() => ({ state: null }), 'state: this is no base64'],
    'no checkpoint': [() => ({ checkpoint: undefined }), 'checkpoint: it is missing'],
    'another checkpoint': [
      () => ({ checkpoint: json.checkpoint.replace(`\n${json.treeSize}\n`, `\n${json.treeSize + 1}\n`) }),
      'checkpoint: The signature of',
    ],
    'no hashes': [() => ({ hashes: null }), 'hashes: this is no array'],
  };
  it.each(Object.entries(wrong))('with %s', (_, [mutate, fault]) => {
    expect(faultOf(JSON.stringify({ ...json, ...mutate() }))).toContain(fault);
  });

  it('as text with another entry, without one, or signed by a stranger', () => {
    const proof = parseProof(text);
    expect(formatProof(proof)).toBe(text);
    expect(faultOf(formatProof({ ...proof, extra: flipBit(proof.extra!, 9) }))).toContain('do not lead');
    const { extra: _, ...bare } = proof;
    expect(faultOf(formatProof(bare))).toContain('extra: the proof does not hold the entry');
    const [origin = ''] = key.split('+');
    const renamed = proof.checkpoint.replaceAll(origin, 'another.example/log');
    expect(faultOf(formatProof({ ...proof, checkpoint: renamed }))).toContain('no signature of a known key');
  });
});
