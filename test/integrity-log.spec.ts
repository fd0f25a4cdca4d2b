import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { SubtreesSection } from '../src/audit/integrity/subtrees-section.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { tamper, type Tampering } from './support/forgery.js';
import { keepLog, restoreLog } from './support/kept-log.js';
import { addEvent } from './support/log.js';
import { placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';
import { addLeaves, growLog, sealAll } from './support/synthetic-log.js';

interface Difference {
  readonly subject: { readonly type: string; readonly id: string | null };
  readonly eventId: string | null;
  readonly where: string;
  readonly code: string;
  readonly expected: string | null;
  readonly actual: string | null;
}

let database: TestDatabase;
let service: TestService;
let orderId: string;
let size: number;
let before: Set<string>;

/** What is found on pages of so many, the whole walk long, but for what is wrong with the events that are made up. */
async function found(limit = 100): Promise<Difference[]> {
  const differences: Difference[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `&cursor=${cursor}`;
    const { body } = await service.send('get', `/v1/audit/integrity?limit=${limit}${query}`).expect(200);
    const page = body as { differences: Difference[]; nextCursor: string | null };
    differences.push(...page.differences);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return differences.filter((difference) => !before.has(JSON.stringify(difference)));
}

/** Each as `code where`, or with what it tells of leaves and events: `leaf-missing audit_leaves.leaf_index 7 8`. */
const codesOf = (differences: readonly Difference[]) =>
  differences.map(({ code, where }) => `${code} ${where}`).sort();

beforeAll(async () => {
  // Most of its events have no subjects and no JSON for an entry.
  database = await createDatabase();
  service = await startService({}, database);
  orderId = (await placeOrder(service, undefined)).id;
  await service.send('post', `/v1/orders/${orderId}/cancel`).expect(200);
  const checkpoint = await growLog(service, 297);
  size = Number(checkpoint.split('\n')[1]);
  before = new Set();
  const all = await found();
  expect(all.filter(({ code }) => /leaf|subtree|checkpoint/.test(code))).toEqual([]);
  before = new Set(all.map((difference) => JSON.stringify(difference)));
  await keepLog(database);
});
afterEach(() => restoreLog(database));
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const TAIL = 290;
const setHash = (table: string, which: string) => `UPDATE ${table} SET hash = sha256(hash) WHERE ${which}`;
const sealed = (leaf: number) => `(SELECT event_seq FROM audit_leaves WHERE leaf_index = ${leaf})`;

/** Each kind of difference, and all that is told of it. */
const kinds: Record<string, { plant: () => Tampering[]; told: string[] }> = {
  'a hash of a leaf below a full tile': {
    plant: () => [setHash('audit_leaves', 'leaf_index = 10')],
    told: ['leaf-hash-differs audit_leaves.hash', 'subtree-differs audit_subtrees/1.0'],
  },
  'a hash of one of the last leaves': {
    plant: () => [setHash('audit_leaves', `leaf_index = ${TAIL}`)],
    told: ['checkpoint-differs audit_checkpoints.root', 'leaf-hash-differs audit_leaves.hash'],
  },
  'an entry together with its leaf': {
    plant: () => [
      `UPDATE audit_events SET entry = entry || 'x'::bytea WHERE seq = ${sealed(10)}`,
      `UPDATE audit_leaves SET hash = leaf_hash FROM audit_events WHERE seq = event_seq AND leaf_index = 10`,
    ],
    told: ['subtree-differs audit_subtrees/1.0'],
  },
  'an entry alone': {
    plant: () => [`UPDATE audit_events SET entry = entry || 'x'::bytea WHERE seq = ${sealed(10)}`],
    told: ['leaf-hash-differs audit_leaves.hash'],
  },
  'two leaves of each other': {
    plant: () => [
      `DELETE FROM audit_leaves AS leaf USING kept.audit_leaves AS kept WHERE leaf.leaf_index IN (20, 30)`,
      `INSERT INTO audit_leaves SELECT leaf_index, ${sealedKept(50)} - event_seq, hash FROM kept.audit_leaves
        WHERE leaf_index IN (20, 30)`,
    ],
    told: ['leaf-hash-differs audit_leaves.hash', 'leaf-hash-differs audit_leaves.hash'],
  },
  'versions of a subject in another order': {
    plant: () => [
      `DELETE FROM audit_leaves USING audit_events WHERE seq = event_seq AND subject_id = '${orderId}'`,
      `INSERT INTO audit_leaves
       SELECT sum(leaf_index) OVER () - leaf_index, seq, leaf_hash
         FROM kept.audit_leaves JOIN audit_events ON seq = event_seq WHERE subject_id = '${orderId}'`,
    ],
    told: ['leaf-out-of-order audit_leaves.leaf_index', 'subtree-differs audit_subtrees/1.0'],
  },
  'a leaf that is gone': {
    plant: () => ['DELETE FROM audit_leaves WHERE leaf_index = 10'],
    told: ['leaf-missing audit_leaves.event_seq', 'leaf-missing audit_leaves.leaf_index'],
  },
  'an event that is gone': {
    plant: () => [`DELETE FROM audit_events WHERE seq = ${sealed(10)}`],
    told: ['leaf-unexpected audit_leaves.event_seq'],
  },
  'an event that is gone with its leaf': {
    plant: () => [
      `DELETE FROM audit_events WHERE seq = ${sealed(10)}`,
      'DELETE FROM audit_leaves WHERE leaf_index = 10',
    ],
    told: ['leaf-missing audit_leaves.leaf_index'],
  },
  'a position that sealing was set back to': {
    plant: () => [`UPDATE audit_sealing SET last_seq = ${sealed(size - 3)}`],
    told: ['leaf-unexpected audit_sealing.last_seq', 'leaf-unexpected audit_sealing.last_seq'],
  },
  'a position of sealing that is gone': {
    plant: () => ['DELETE FROM audit_sealing', `DELETE FROM audit_leaves WHERE leaf_index >= 2`],
    told: [
      'checkpoint-differs audit_checkpoints.size',
      'leaf-unexpected audit_sealing.last_seq',
      'leaf-unexpected audit_sealing.last_seq',
      'subtree-unexpected audit_subtrees',
    ],
  },
  'a hash of a full tile': {
    plant: () => [setHash('audit_subtrees', 'position = 0')],
    told: ['checkpoint-differs audit_checkpoints.root', 'subtree-differs audit_subtrees/1.0'],
  },
  'a full tile without its hash': {
    plant: () => ['DELETE FROM audit_subtrees'],
    told: ['checkpoint-differs audit_checkpoints.root', 'subtree-missing audit_subtrees'],
  },
  'hashes of tiles that are not there': {
    plant: () => [
      `INSERT INTO audit_subtrees VALUES (1, 1, sha256('')), (2, 0, sha256('')), (30, 7, sha256(''))`,
    ],
    told: Array<string>(3).fill('subtree-unexpected audit_subtrees'),
  },
  'the root of a checkpoint': {
    plant: () => ['UPDATE audit_checkpoints SET root = sha256(root)'],
    told: ['checkpoint-differs audit_checkpoints.note', 'checkpoint-differs audit_checkpoints.root'],
  },
  'the note of a checkpoint': {
    plant: () => [`UPDATE audit_checkpoints SET note = 'x' || note`],
    told: ['checkpoint-differs audit_checkpoints.note'],
  },
  'the newest events, with all that told of them but a checkpoint': {
    plant: () => [
      `DELETE FROM audit_events WHERE seq > ${sealed(TAIL)}`,
      `DELETE FROM audit_leaves WHERE leaf_index > ${TAIL}`,
      `UPDATE audit_sealing SET last_seq = ${sealed(TAIL)}`,
    ],
    told: ['checkpoint-differs audit_checkpoints.size'],
  },
};

/** The sum of the numbers of the events of leaves 20 and 30: events follow each other here. */
function sealedKept(sum: number): string {
  return `(SELECT ${sum} + 2 * (min(event_seq) - min(leaf_index)) FROM kept.audit_leaves)`;
}

describe('the integrity check names', () => {
  it.each(Object.entries(kinds))('%s', async (_, { plant, told }) => {
    await tamper(database, ...plant());
    const differences = await found();
    expect(codesOf(differences)).toEqual(told);
    const log = differences.filter(({ eventId }) => eventId === null);
    expect(log.filter(({ subject }) => subject.type !== 'log' || subject.id !== null)).toEqual([]);
  });

  it('the leaf, the event and the hashes, on pages of any size', async () => {
    const [row] = await database.query<{ id: string; expected: string; actual: string }>(
      `SELECT id, encode(leaf_hash, 'hex') AS expected, encode(sha256(leaf_hash), 'hex') AS actual
         FROM audit_events WHERE seq = ${sealed(10)}`,
    );
    await tamper(database, setHash('audit_leaves', 'leaf_index = 10'));
    await tamper(database, 'DELETE FROM audit_leaves WHERE leaf_index = 42');
    const differences = await found(7);
    expect(differences).toContainEqual(
      expect.objectContaining({ eventId: row?.id, expected: row?.expected, actual: row?.actual }),
    );
    expect(differences).toContainEqual(
      expect.objectContaining({ where: 'audit_leaves.leaf_index', expected: '42', actual: '43' }),
    );
    expect(codesOf(differences)).toEqual(codesOf(await found(100)));
  });

  it('a sealed event that has neither leaf nor gap, once there is no gap for it', async () => {
    const late = await database.connect();
    await late.query('BEGIN');
    const seq = await addEvent(late);
    await addEvent(await database.connect());
    await sealAll(service);
    await late.query('COMMIT');
    const missing = async () => (await found()).filter(({ code }) => code === 'leaf-missing');
    expect(await missing()).toEqual([]);
    await tamper(database, 'DELETE FROM audit_gaps');
    expect(await missing()).toMatchObject([
      { where: 'audit_leaves.event_seq', expected: String(seq), subject: { type: 'user' } },
    ]);
  });
});

describe('the subtrees of a log of three levels of tiles', () => {
  it('are checked up to the top, so many on a page', async () => {
    await addLeaves(service, 65_536);
    const { manager } = service.app.get(DataSource);
    const walk = async () => {
      const section = new SubtreesSection();
      const bounds = await section.bounds(manager);
      const told: string[] = [];
      let [after, checked]: [string | undefined, number] = [undefined, 0];
      do {
        const page = await section.page(manager, after, bounds?.last ?? '', 100);
        told.push(...page.differences.map(({ code, where }) => `${code} ${where}`));
        checked += page.checked;
        after = page.next;
      } while (after !== undefined);
      return { checked, told };
    };
    expect(await walk()).toEqual({ checked: 258, told: [] });
    await tamper(database, setHash('audit_subtrees', 'level = 2'));
    expect(await walk()).toEqual({ checked: 258, told: ['subtree-differs audit_subtrees/2.0'] });
    await tamper(database, setHash('audit_subtrees', 'level = 1 AND position = 200'));
    expect((await walk()).told).toEqual([
      'subtree-differs audit_subtrees/1.200',
      'subtree-differs audit_subtrees/2.0',
    ]);
  }, 120_000);
});
