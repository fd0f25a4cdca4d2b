import { createHash, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseBundle } from '../src/audit/log/bundle.js';
import { parseTreeHead, type TreeHead } from '../src/audit/log/checkpoint.js';
import { openNote, parseVerifier } from '../src/audit/log/note.js';
import { parseProof } from '../src/audit/log/proof.js';
import { leafHash, verifyConsistency, verifyInclusion } from '../src/audit/log/tree.js';
import { createDatabase } from './support/database.js';
import { type AuditEvent, readCheckpoint, sealedUpTo } from './support/log-client.js';
import { createKey, createPerson, type Person } from './support/people.js';
import { createUser, type OrderBody, placeOrder } from './support/samples.js';
import { startService, type TestService } from './support/service.js';

interface Proof {
  leafIndex: number;
  treeSize: number;
  leafHash: string;
  hashes: string[];
  checkpoint: string;
  entry: string;
  salt: string | null;
  state: string | null;
}

const LOG = '/v1/audit/log';
const bytes = (base64: string) => Buffer.from(base64, 'base64');

let service: TestService;
let customer: Person;
let order: OrderBody;
let events: AuditEvent[];
beforeAll(async () => {
  service = await startService({ AUDIT_SEALER: 'on' });
  customer = await createPerson(service);
  order = await placeOrder(service, customer.user.id);
  await service.send('post', `/v1/orders/${order.id}/cancel`).expect(200);
  const list = await service.send('get', '/v1/audit/events?limit=100').expect(200);
  events = (list.body as { data: AuditEvent[] }).data;
  await sealedUpTo(service, events.length);
});
afterAll(() => service.stop());

async function verifiedCheckpoint(note?: string): Promise<TreeHead> {
  const key = await service.as(undefined).send('get', `${LOG}/key`).expect(200);
  const verifiers = key.text.trimEnd().split('\n').map(parseVerifier);
  const given = note ?? (await readCheckpoint(service)).note;
  const head = parseTreeHead(openNote(given, verifiers));
  expect(head.origin).toBe(verifiers[0]?.name);
  return head;
}

const proofOf = async (id: string) => {
  const response = await service.send('get', `/v1/audit/events/${id}/proof`).expect(200);
  return response.body as Proof;
};
const eventsOf = (type: string) => events.filter((event) => event.subject.type === type);

describe('the proof of an event', () => {
  it('holds for every event, with its entry and its checkpoint alone', async () => {
    const indexes: number[] = [];
    for (const event of events) {
      const proof = await proofOf(event.id);
      const head = await verifiedCheckpoint(proof.checkpoint);
      const leaf = leafHash(bytes(proof.entry));
      expect([proof.treeSize, bytes(proof.leafHash), leaf.toString('hex')]).toEqual([
        head.size,
        leaf,
        event.leafHash,
      ]);
      expect(verifyInclusion(leaf, proof.leafIndex, head.size, proof.hashes.map(bytes), head.root)).toBe(
        true,
      );
      expect(JSON.parse(bytes(proof.entry).toString())).toMatchObject({ id: event.id });
      indexes.push(proof.leafIndex);
    }
    expect(new Set(indexes).size).toBe(events.length);
  });

  it('opens the state that the entry commits to, and no other', async () => {
    for (const event of eventsOf('order')) {
      const { salt, state, entry } = await proofOf(event.id);
      const hash = createHash('sha256').update(bytes(salt!)).update(bytes(state!)).digest('hex');
      expect(JSON.parse(bytes(entry).toString())).toMatchObject({ stateHash: hash });
      expect(JSON.parse(bytes(state!).toString())).toMatchObject({
        id: order.id,
        version: event.subject.version,
      });
    }
    const [signIn] = events.filter(({ subject }) => subject.version === null);
    expect(await proofOf(signIn!.id)).toMatchObject({ salt: null, state: null });
  });

  it('is the same as text (c2sp.org/tlog-proof), whole with its entry', async () => {
    const id = events[0]!.id;
    const get = () => service.send('get', `/v1/audit/events/${id}/proof`);
    const text = await get().set('Accept', 'text/plain').expect(200);
    expect(text.get('Content-Type')).toBe('text/plain; charset=utf-8');
    expect(text.get('Vary')).toMatch(/Accept(,|$)/);
    const proof = parseProof(text.text);
    const head = await verifiedCheckpoint(proof.checkpoint);
    expect(
      verifyInclusion(leafHash(proof.extra!), proof.index, head.size, [...proof.hashes], head.root),
    ).toBe(true);
    for (const [accept, status] of [
      ['text/html', 406],
      ['*/*', 200],
      ['text/plain;q=0.5, application/json', 200],
    ] as const) {
      const response = await get().set('Accept', accept).expect(status);
      expect(response.type).toBe(status === 406 ? 'application/problem+json' : 'application/json');
    }
  });

  it('is told to come later while no checkpoint covers the event', async () => {
    const idle = await startService();
    const list = await idle.send('get', '/v1/audit/events').expect(200);
    const [first] = (list.body as { data: AuditEvent[] }).data;
    const refused = await idle.send('get', `/v1/audit/events/${first!.id}/proof`).expect(409);
    expect(refused.body).toMatchObject({ code: 'not-sealed' });
    expect(Number(refused.get('Retry-After'))).toBeGreaterThan(0);
    await idle.as(undefined).send('get', `${LOG}/checkpoint`).expect(404);
    await idle.stop();
  });

  it('is not there for an event that is not there', async () => {
    for (const id of [randomUUID(), 'no-id']) {
      await service.send('get', `/v1/audit/events/${id}/proof`).expect(404);
    }
  });
});

describe('who may read what', () => {
  it('a customer proves the events of an own order, and learns of no other', async () => {
    const [placed] = eventsOf('order').slice(-1);
    const [user] = eventsOf('user');
    const as = service.as(customer.accessToken);
    const path = (orderId: string, eventId: string) => `/v1/orders/${orderId}/events/${eventId}/proof`;
    const own = await as.send('get', path(order.id, placed!.id)).expect(200);
    expect(JSON.parse(bytes((own.body as Proof).state!).toString())).toMatchObject({ id: order.id });
    const another = await placeOrder(service, (await createUser(service)).id);
    const foreign = await service.send('get', `/v1/orders/${another.id}/events`);
    const [foreignEvent] = (foreign.body as { data: { id: string }[] }).data;
    const requestId = randomUUID();
    const bodies = [];
    for (const [orderId, eventId] of [
      [order.id, randomUUID()],
      [order.id, foreignEvent!.id],
      [order.id, user!.id],
      [another.id, foreignEvent!.id],
      [another.id, placed!.id],
      [randomUUID(), placed!.id],
    ] as const) {
      const response = await as.send('get', path(orderId, eventId)).set('X-Request-Id', requestId);
      bodies.push([response.status, response.text]);
    }
    expect(bodies).toEqual(Array(bodies.length).fill([404, bodies[0]![1]]));
    await as.send('get', `/v1/audit/events/${placed!.id}/proof`).expect(403);
  });

  it('an auditor sees that there is a state, not the state; who reads all orders sees theirs', async () => {
    const [placed] = eventsOf('order');
    const [user] = eventsOf('user').filter(({ subject }) => subject.version !== null);
    const auditor = (await createPerson(service, 'auditor')).accessToken;
    const key = await createKey(service, ['audit:read', 'orders:read']);
    const shown = async (token: string, id: string) => {
      const { body } = await service.as(token).send('get', `/v1/audit/events/${id}/proof`).expect(200);
      const { salt, state } = body as Proof;
      return [salt !== null, state !== null];
    };
    expect(await shown(auditor, placed!.id)).toEqual([false, false]);
    expect(await shown(key, placed!.id)).toEqual([true, true]);
    expect(await shown(key, user!.id)).toEqual([false, false]);
    expect(await shown(service.adminToken, user!.id)).toEqual([true, true]);
  });
});

describe('the log', () => {
  const get = (path: string) => service.as(undefined).send('get', `${LOG}/${path}`);

  it('says how long what may be kept', async () => {
    const headers = async (path: string, token?: string) => {
      const response = await service.as(token).send('get', `${LOG}/${path}`).expect(200);
      return [response.get('Content-Type'), response.get('Cache-Control'), response.get('Vary')];
    };
    const forEver = 'max-age=31536000, immutable';
    const text = 'text/plain; charset=utf-8';
    expect(await headers('checkpoint')).toEqual([text, 'public, max-age=1', 'Accept-Encoding']);
    expect(await headers('key')).toEqual([text, 'public, max-age=300', 'Accept-Encoding']);
    expect(await headers('tile/0/000.p/1')).toEqual([
      'application/octet-stream',
      `public, ${forEver}, no-transform`,
      undefined,
    ]);
    expect(await headers('consistency?first=1&second=2')).toEqual([
      'application/json; charset=utf-8',
      `public, ${forEver}`,
      'Accept-Encoding',
    ]);
    const [type, caching, vary] = await headers('tile/entries/000.p/1', service.adminToken);
    expect([type, caching]).toEqual(['application/octet-stream', `private, ${forEver}`]);
    expect(vary).toMatch(/^Authorization/);
  });

  it('keeps nothing of what is not there (yet)', async () => {
    const { size } = await verifiedCheckpoint();
    expect(size).toBeLessThan(200);
    const places = [
      'tile/0/000.p/255',
      'tile/0/000',
      'tile/0/001.p/1',
      'tile/1/000.p/1',
      'tile/63/000.p/1',
      'tile/64/000.p/1',
      'tile/00/000.p/1',
      'tile/-1/000.p/1',
      'tile/x/000.p/1',
      'tile/0/0.p/1',
      'tile/0/000.p/0',
      'tile/0/000.p/256',
      'tile/0/000.p/01',
      'tile/0/000.p',
      'tile/0/000.p/1/',
      'tile/0//000.p/1',
      'tile/0/000.p%2F1',
      'tile/0/x000/000.p/1',
      'tile/0/x999/x999/x999/x999/x999/999',
      'tile/0/../0/000.p/1',
      'tile/0',
      'tile',
      'tile/data/000.p/1',
      `consistency?first=1&second=${size + 1_000}`,
    ];
    for (const place of places) {
      const response = await get(place);
      expect([place, response.status, response.get('Cache-Control')]).toEqual([
        place,
        404,
        'private, no-cache',
      ]);
    }
    await service.send('get', `${LOG}/tile/entries/000.p/255`).expect(404);
    await service.send('get', `${LOG}/tile/entries/0`).expect(404);
  });

  it('refuses parameters that make no sense', async () => {
    for (const [query, code] of [
      ['', 'invalid-parameter'],
      ['?first=0&second=1', 'invalid-parameter'],
      ['?first=1&second=0', 'invalid-parameter'],
      ['?first=2&second=1', 'invalid-parameter'],
      ['?first=1', 'invalid-parameter'],
      ['?first=one&second=2', 'invalid-parameter'],
      ['?first=1&second=1.5', 'invalid-parameter'],
      ['?first=1&second=9007199254740992', 'invalid-parameter'],
      ['?first=1&second=1&third=1', 'unknown-parameter'],
    ] as const) {
      const response = await get(`consistency${query}`).expect(400);
      expect([query, response.body]).toMatchObject([query, { code }]);
    }
    await get('checkpoint?size=1').expect(400);
    await get('tile/0/000.p/1?width=1').expect(400);
    await get('checkpoint').set('Accept', 'application/json').expect(406);
    await get('tile/0/000.p/1').set('Accept', 'text/plain').expect(406);
    await get('consistency?first=1&second=1').set('Accept', 'text/plain').expect(406);
  });

  it('proves that every tree continues every smaller one', async () => {
    const { size } = await verifiedCheckpoint();
    const roots = new Map<number, Buffer>();
    for (const { size: each, root } of await service.database.query<{ size: string; root: Buffer }>(
      // The log may have grown meanwhile.
      'SELECT size, root FROM audit_checkpoints WHERE size BETWEEN 1 AND $1',
      [size],
    )) {
      roots.set(Number(each), root);
    }
    expect(roots.size).toBeGreaterThan(0);
    for (const [first, root] of roots) {
      const { body } = await get(`consistency?first=${first}&second=${size}`).expect(200);
      const hashes = (body as { hashes: string[] }).hashes.map(bytes);
      expect(verifyConsistency(first, size, hashes, root, roots.get(size)!)).toBe(true);
    }
  });

  it('serves the entries that its leaves are the hashes of, to auditors alone', async () => {
    const { size } = await verifiedCheckpoint();
    for (const width of [1, 2, size]) {
      const tile = await get(`tile/0/000.p/${width}`).expect(200);
      const bundle = await service.send('get', `${LOG}/tile/entries/000.p/${width}`).expect(200);
      const leaves = parseBundle(bundle.body as Buffer)?.map(leafHash) ?? [];
      expect(Buffer.concat(leaves)).toEqual(tile.body);
      expect(leaves).toHaveLength(width);
    }
    await get('tile/entries/000.p/1').expect(401);
    await service.as(customer.accessToken).send('get', `${LOG}/tile/entries/000.p/1`).expect(403);
    const packed = await service
      .send('get', `${LOG}/tile/entries/000.p/${size}`)
      .set('Accept-Encoding', 'gzip');
    expect(packed.get('Content-Encoding')).toBe('gzip');
  });

  it('answers HEAD, and refuses other methods', async () => {
    await service.as(undefined).send('head', `${LOG}/tile/0/000.p/1`).expect(200);
    const refused = await service.as(undefined).send('post', `${LOG}/tile/0/x001/000.p/1`).expect(405);
    expect(refused.get('Allow')).toBe('GET, HEAD');
  });

  it('shows whoever holds the database that an event is gone, by an empty entry', async () => {
    // A log of its own: what is broken here is not to be noticed elsewhere.
    const database = await createDatabase();
    const broken = await startService({ AUDIT_SEALER: 'on' }, database);
    const { size } = await sealedUpTo(broken, 2);
    await database.query(`
      SET session_replication_role = replica;
      DELETE FROM audit_events WHERE seq = (SELECT event_seq FROM audit_leaves WHERE leaf_index = 1)`);
    const bundle = await broken.send('get', `${LOG}/tile/entries/000.p/${size}`).expect(200);
    const entries = parseBundle(bundle.body as Buffer)!;
    expect(entries.map((entry) => entry.length === 0)).toEqual(
      Array.from({ length: size }, (_, index) => index === 1),
    );
    await database.query(`
      SET session_replication_role = replica;
      DELETE FROM audit_leaves WHERE leaf_index = 0`);
    await broken.as(undefined).send('get', `${LOG}/tile/0/000.p/1`).expect(500);
    await broken.send('get', `${LOG}/tile/entries/000.p/1`).expect(500);
    await broken.stop();
    await database.drop();
  });
});
