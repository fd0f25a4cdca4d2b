import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { parseVerifier } from '../../src/audit/log/note.js';
import { HttpSource } from '../../src/cli/log/http-source.js';
import { verifyLog } from '../../src/cli/log/verify-log.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { keepLog, restoreLog } from '../support/kept-log.js';
import type { AuditEvent } from '../support/log-client.js';
import { flipBit } from '../support/mutations.js';
import { createUser, placeOrder } from '../support/samples.js';
import { startService, type TestService } from '../support/service.js';
import { growLog, publish, verifierKey } from '../support/synthetic-log.js';

/*
 * A superuser with the triggers off does as he likes; whoever holds a checkpoint from before finds out. Each kind of
 * tampering is tried at random positions; ORDO_TAMPER_CASES says how many cases there are in all.
 */

const CASES = Number(process.env.ORDO_TAMPER_CASES ?? 32);
const LEAVES = 600;

let database: TestDatabase;
let service: TestService;
let checkpoint: string;
let size: number;
beforeAll(async () => {
  // Its events have no subjects, so that rows and events do not agree.
  database = await createDatabase();
  service = await startService({}, database);
  await placeOrder(service, (await createUser(service)).id);
  checkpoint = await growLog(service, LEAVES);
  size = Number(checkpoint.split('\n')[1]);
  await keepLog(database);
});
afterAll(async () => {
  await service.stop();
  await database.drop();
});

const random = (count: number) => Math.floor(Math.random() * count);
const tamper = (sql: string) => database.query(`SET session_replication_role = replica; ${sql}`);

const restore = () => restoreLog(database);

async function verdict(entries = true): Promise<string> {
  const source = await HttpSource.at(service.url, { kind: 'access token', text: service.adminToken });
  const verifiers = [parseVerifier(verifierKey(service))];
  const earlier = [{ name: 'kept.txt', note: checkpoint }];
  try {
    await verifyLog(source, { verifiers, earlier, entries });
    return 'no fault';
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

const eventOf = (leaf: number) => `seq = (SELECT event_seq FROM audit_leaves WHERE leaf_index = ${leaf})`;
const setByte = (column: string) =>
  `SET ${column} = set_byte(${column}, p, get_byte(${column}, p) # 1)
     FROM (SELECT floor(random() * 32)::integer AS p) AS place`;

/** Each kind of tampering at a random place, and what `verify` has to say about it. */
const kinds: Record<string, () => Promise<RegExp>> = {
  'one byte of an entry': async () => {
    const leaf = random(size);
    await tamper(
      `UPDATE audit_events SET entry = set_byte(entry, p, get_byte(entry, p) # 1)
         FROM (SELECT floor(random() * octet_length(entry))::integer AS p FROM audit_events WHERE ${eventOf(leaf)})
           AS place
        WHERE ${eventOf(leaf)}`,
    );
    return new RegExp(`^Fault: leaf ${leaf}:`);
  },
  'two entries swapped': async () => {
    const one = random(size - 1);
    const second = one + 1 + random(size - one - 1);
    await tamper(
      `UPDATE audit_events SET entry = partner.entry
         FROM (SELECT seq, entry FROM audit_events) AS partner,
              (SELECT a.event_seq AS a, b.event_seq AS b FROM audit_leaves a, audit_leaves b
                WHERE a.leaf_index = ${one} AND b.leaf_index = ${second}) AS pair
        WHERE (audit_events.seq, partner.seq) IN ((a, b), (b, a))`,
    );
    return new RegExp(`^Fault: leaf ${one}:`);
  },
  'an event deleted': async () => {
    const leaf = random(size);
    await tamper(`DELETE FROM audit_events WHERE ${eventOf(leaf)}`);
    return new RegExp(`^Fault: leaf ${leaf}:`);
  },
  'the newest deleted, counters reset, the rest signed anew': async () => {
    await truncate(1 + random(size - 1));
    await publish(service);
    return new RegExp(`^Fault: kept.txt covers ${size} leaves, the log has only \\d+`);
  },
  'the newest deleted, others in their place, signed anew': async () => {
    const lost = 1 + random(200);
    await truncate(lost);
    await growLog(service, lost + random(50));
    return /^Fault: kept.txt: its root is not that of the first \d+ leaves/;
  },
  'the hash of a leaf': async () => {
    const leaf = random(size);
    await tamper(`UPDATE audit_leaves ${setByte('hash')} WHERE leaf_index = ${leaf}`);
    return new RegExp(`^Fault: leaf ${leaf}:`);
  },
  'an entry together with its leaf': async () => {
    const leaf = random(size);
    await tamper(
      `UPDATE audit_events SET entry = entry || ' '::bytea WHERE ${eventOf(leaf)};
       UPDATE audit_leaves SET hash = sha256('\\x00'::bytea || entry) FROM audit_events
        WHERE seq = event_seq AND leaf_index = ${leaf}`,
    );
    const isInFullTile = leaf < Math.floor(size / 256) * 256;
    return isInFullTile
      ? new RegExp(`^Fault: tile/1/000.p/2: its hash ${Math.floor(leaf / 256)} is not the root of tile/0/`)
      : /^Fault: kept.txt: its root/;
  },
  'the hash of a tile': async () => {
    const tile = random(Math.floor(size / 256));
    await tamper(`UPDATE audit_subtrees ${setByte('hash')} WHERE level = 1 AND position = ${tile}`);
    return new RegExp(`^Fault: tile/1/000.p/2: its hash ${tile} is not the root of tile/0/00${tile}$`);
  },
};

async function truncate(count: number): Promise<void> {
  const left = size - count;
  await tamper(
    `DELETE FROM audit_events USING audit_leaves WHERE seq = event_seq AND leaf_index >= ${left};
     DELETE FROM audit_leaves WHERE leaf_index >= ${left};
     DELETE FROM audit_subtrees WHERE (position + 1) * 256 > ${left};
     DELETE FROM audit_checkpoints;
     UPDATE audit_sealing SET last_seq = (SELECT max(seq) FROM audit_events)`,
  );
}

it('nothing is found where nothing was done', async () => {
  expect(await verdict()).toBe('no fault');
  expect(await verdict(false)).toBe('no fault');
  await restore();
  expect(await verdict()).toBe('no fault');
});

it.each(Object.entries(kinds))(
  'verify names %s',
  async (_name, attack) => {
    for (let round = 0; round < Math.ceil(CASES / Object.keys(kinds).length); round++) {
      try {
        const expected = await attack();
        expect(await verdict()).toMatch(expected);
      } finally {
        await restore();
      }
    }
  },
  30_000 + CASES * 1_000,
);

it('a state that was changed is not the one that its entry commits to', async () => {
  const list = await service.send('get', '/v1/audit/events?action=order.placed').expect(200);
  const [placed] = (list.body as { data: AuditEvent[] }).data;
  const opens = async () => {
    const { body } = await service.send('get', `/v1/audit/events/${placed!.id}/proof`).expect(200);
    const { salt, state, entry } = body as Record<'salt' | 'state' | 'entry', string>;
    const [saltBytes, stateBytes] = [Buffer.from(salt, 'base64'), Buffer.from(state, 'base64')];
    const { stateHash } = JSON.parse(Buffer.from(entry, 'base64').toString()) as { stateHash: string };
    return stateHash === createHash('sha256').update(saltBytes).update(stateBytes).digest('hex');
  };
  expect(await opens()).toBe(true);
  const [row] = await database.query<{ state: Buffer }>('SELECT state FROM audit_events WHERE id = $1', [
    placed!.id,
  ]);
  for (let round = 0; round < Math.ceil(CASES / 8); round++) {
    const changed = flipBit(row!.state, random(row!.state.length * 8));
    await tamper(
      `UPDATE audit_events SET state = '\\x${changed.toString('hex')}'::bytea WHERE id = '${placed!.id}'`,
    );
    expect(await opens()).toBe(false);
    await restore();
  }
  expect(await opens()).toBe(true);
});
