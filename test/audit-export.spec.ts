import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ExportEnd, ExportedEvent } from '../src/audit/export/audit-export.dto.js';
import { parseTreeHead } from '../src/audit/log/checkpoint.js';
import { openNote, parseVerifier } from '../src/audit/log/note.js';
import { splitHashes } from '../src/audit/log/tiles.js';
import { leafHash } from '../src/audit/log/tree.js';
import { canonicalBytes } from '../src/database/canonical.js';
import { loadCrowd, person } from './support/crowd.js';
import { createDatabase, type TestDatabase } from './support/database.js';
import { ask, type Download, download, hangUpAll } from './support/download.js';
import { createPerson } from './support/people.js';
import { eventually } from './support/process.js';
import { createUser, placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';
import { publish, sealAll, verifierKey } from './support/synthetic-log.js';

const PATH = '/v1/audit/events/export';

interface Export {
  readonly events: ExportedEvent[];
  readonly manifest: ExportEnd['manifest'];
}

/** Reads an export as its documentation says: the last line is the manifest, and it must fit the bytes before. */
function read(text: string): Export {
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  const { manifest } = JSON.parse(text.slice(end)) as ExportEnd;
  const lines = text.slice(0, end).split('\n').slice(0, -1);
  const events = lines.map((line) => JSON.parse(line) as ExportedEvent);
  expect(manifest.count).toBe(events.length);
  expect(manifest.sha256).toBe(createHash('sha256').update(text.slice(0, end)).digest('hex'));
  const leaves = events.map(({ leafIndex }) => leafIndex);
  const [first, last] =
    leaves.length === 0 ? [null, null] : [Math.min(...leaves), leaves.reduce((a, b) => Math.max(a, b))];
  expect([manifest.firstLeaf, manifest.lastLeaf]).toEqual([first, last]);
  return { events, manifest };
}

async function exported(service: TestService, query = ''): Promise<Export> {
  const answer = await service.send('get', `${PATH}${query}`).expect(200);
  expect(answer.type).toBe('application/x-ndjson');
  return read(answer.text);
}

/** All pages of the list. */
async function listed(service: TestService, query = ''): Promise<ExportedEvent[]> {
  const events: ExportedEvent[] = [];
  let cursor: string | null = null;
  do {
    const parameters: URLSearchParams = new URLSearchParams(query);
    if (cursor !== null) parameters.set('cursor', cursor);
    const { body } = await service.send('get', `/v1/audit/events?${parameters.toString()}`).expect(200);
    const page = body as { data: ExportedEvent[]; nextCursor: string | null };
    events.push(...page.data);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return events;
}

/** The head of the manifest's checkpoint, whose signature is right. */
function headOf(service: TestService, { manifest }: Export) {
  return parseTreeHead(openNote(manifest.checkpoint, [parseVerifier(verifierKey(service))]));
}

describe('an export of events', () => {
  let service: TestService;
  let userId: string;

  beforeAll(async () => {
    service = await startService();
    userId = (await createUser(service)).id;
    for (let order = 0; order < 3; order++) await placeOrder(service, userId);
    await createPerson(service, 'auditor');
  });
  afterAll(() => service.stop());

  it('is refused before there is a checkpoint', async () => {
    const refused = await service.send('get', PATH).expect(409);
    expect([refused.body, refused.get('Retry-After')]).toMatchObject([{ code: 'not-sealed' }, '1']);
    expect(refused.get('Content-Disposition')).toBeUndefined();
    await sealAll(service);
    await publish(service);
    await service.send('get', PATH).expect(200);
  });

  it('has what the list has, each event with the leaf that it is in the log', async () => {
    const all = await exported(service);
    const { size } = headOf(service, all);
    const tile = await service.as(undefined).send('get', `/v1/audit/log/tile/0/000.p/${size}`).expect(200);
    const hashes = splitHashes(tile.body as Buffer);
    expect(all.manifest).toMatchObject({ count: size, notCovered: 0, firstLeaf: 0, lastLeaf: size - 1 });
    expect(all.events.map(({ leafIndex, ...event }) => event)).toEqual(await listed(service));
    for (const { leafIndex, leafHash: told, ...event } of all.events) {
      const leaf = leafHash(canonicalBytes({ v: 1, ...event }));
      expect([leaf.toString('hex'), leaf]).toEqual([told, hashes[leafIndex]]);
    }
  });

  it('takes every filter of the list', async () => {
    const [some] = await listed(service, 'action=order.placed');
    const filters = [
      'subjectType=order',
      `subjectId=${userId}`,
      `actorId=${some!.actor.id}`,
      'action=user.created',
      `from=${some!.at}`,
      `to=${some!.at}`,
      `subjectType=order&subjectId=${some!.subject.id}&action=order.placed`,
      'action=order.lost',
    ];
    for (const filter of filters) {
      const { events, manifest } = await exported(service, `?${filter}`);
      const ids = events.map(({ id }) => id);
      expect([filter, ids]).toEqual([filter, (await listed(service, filter)).map(({ id }) => id)]);
      expect(ids.length > 0 || manifest.firstLeaf === null).toBe(true);
    }
    expect((await exported(service, '?action=order.lost')).manifest).toMatchObject({
      count: 0,
      firstLeaf: null,
      lastLeaf: null,
    });
  });

  it('has no event that its checkpoint does not cover, and counts those that fit', async () => {
    const before = await exported(service);
    await createUser(service);
    await sealAll(service);
    await placeOrder(service, userId);
    const after = await exported(service);
    expect(after).toEqual({ ...before, manifest: { ...before.manifest, notCovered: 2 } });
    expect((await exported(service, '?subjectType=order')).manifest.notCovered).toBe(1);
    await sealAll(service);
    await publish(service);
    expect((await exported(service)).manifest).toMatchObject({
      count: before.manifest.count + 2,
      notCovered: 0,
    });
  });

  it('is a file with a name; its headers alone cost nothing', async () => {
    for (const method of ['get', 'head'] as const) {
      const answer = await service.send(method, PATH).expect(200);
      expect(answer.get('Content-Disposition')).toMatch(
        /^attachment; filename="audit-events-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.ndjson"$/,
      );
    }
  });

  it('refuses what it does not take', async () => {
    for (const [query, code] of [
      ['limit=1', 'unknown-parameter'],
      ['cursor=x', 'unknown-parameter'],
      ['format=csv', 'unknown-parameter'],
      ['subjectId=x', 'invalid-parameter'],
      ['action=a.b&action=c.d', 'invalid-parameter'],
      ['from=yesterday', 'invalid-parameter'],
    ]) {
      const refused = await service.send('get', `${PATH}?${query}`).expect(400);
      expect([query, refused.body]).toMatchObject([query, { code }]);
    }
  });
});

describe('an export of more events than all buffers hold', () => {
  const EVENTS = 60_000;
  let database: TestDatabase;
  let service: TestService;
  let url: string;

  beforeAll(async () => {
    database = await createDatabase();
    const client = await database.connect(database.superuserUrl);
    await loadCrowd(client, { users: 10, orders: 10, events: EVENTS });
    await client.end();
    service = await startService({}, database);
    url = `${service.url}${PATH}`;
    await sealAll(service);
    await publish(service);
  });
  afterAll(async () => {
    await service.stop();
    await database.drop();
  });
  afterEach(async () => {
    hangUpAll();
    await untilNone();
  });

  const connections = (seconds = 0) =>
    database.query<{ pid: number; state: string; waits: string | null }>(
      `SELECT pid, state, wait_event_type AS waits FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'ordo snapshot'
          AND clock_timestamp() - state_change >= make_interval(secs => $1)`,
      [seconds],
    );
  const untilNone = () =>
    eventually(async () => {
      expect(await connections()).toEqual([]);
    });
  /** An export that stands still, because nobody reads it. */
  const stalled = async (): Promise<Download> => {
    const answer = await download(url, service.adminToken);
    await eventually(async () => {
      expect(await connections(0.5)).toMatchObject([{ state: 'idle in transaction' }]);
    });
    return answer;
  };

  it('reads no further than its client does, and is of one moment with its checkpoint', async () => {
    const { size } = headOf(service, await exported(service, `?subjectId=${person(0)}&action=access.denied`));
    const answer = await stalled();
    await createUser(service);
    await sealAll(service);
    await publish(service);
    const whole = read(await answer.rest());
    expect(headOf(service, whole).size).toBe(size);
    expect(whole.manifest).toMatchObject({ count: size, notCovered: 0, firstLeaf: 0, lastLeaf: size - 1 });
    expect(new Set(whole.events.map(({ leafIndex }) => leafIndex)).size).toBe(size);
  }, 120_000);

  it('goes on twice at once; a third is asked to come again, until one is over', async () => {
    const [one, two] = [await download(url, service.adminToken), await download(url, service.adminToken)];
    const third = await service.send('get', PATH).expect(503);
    expect([third.body, third.get('Retry-After')]).toMatchObject([{ code: 'unavailable' }, '10']);
    one.hangUp();
    await eventually(async () => {
      await service.send('get', `${PATH}?action=order.lost`).expect(200);
    });
    two.hangUp();
  });

  it('breaks off visibly when the database does, without a manifest', async () => {
    const answer = await stalled();
    const [connection] = await connections();
    await database.query('SELECT pg_terminate_backend($1)', [connection?.pid]);
    await expect(answer.rest()).rejects.toThrow();
  });

  it('gives its connection back at once when the client hangs up in the middle of a statement', async () => {
    const locker = await database.connect(database.superuserUrl);
    await locker.query('BEGIN');
    await locker.query('LOCK TABLE audit_events IN ACCESS EXCLUSIVE MODE');
    const request = ask(url, service.adminToken);
    await eventually(async () => {
      expect(await connections()).toMatchObject([{ state: 'active', waits: 'Lock' }]);
    });
    request.hangUp();
    await untilNone();
    await locker.query('ROLLBACK');
  });

  it('breaks off when its client takes nothing for too long', async () => {
    const hasty = await startService({ EXPORT_STALL_TIMEOUT_MS: 300 }, database);
    try {
      const answer = await download(`${hasty.url}${PATH}`, hasty.adminToken);
      await untilNone();
      await expect(answer.rest()).rejects.toThrow();
    } finally {
      await hasty.stop();
    }
  });
});
