import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type pg from 'pg';
import { expectConsistent } from '../support/consistency.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { createFolder, type ServiceProcess, startProcess, tokenOf } from '../support/process.js';
import { lines } from '../support/samples.js';

const PLACEMENTS = Number(process.env['ORDO_PLACEMENTS'] ?? 1_000);
const CLIENTS = 48;
const KILLS = 10;
const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };

let database: TestDatabase;
let folder: Awaited<ReturnType<typeof createFolder>>;
let service: ServiceProcess;
let superuser: pg.Client;
let url: string;
let headers: Record<string, string>;
let userId: string;

beforeAll(async () => {
  database = await createDatabase();
  superuser = await database.connect(database.superuserUrl);
  folder = await createFolder();
  service = startProcess(folder.folder, {
    WORKERS: '2',
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    ADMIN_PASSWORD: ADMIN.password,
    RATE_LIMIT: '1000000',
  });
  url = await service.listening();
  headers = { Authorization: `Bearer ${await tokenOf(url, ADMIN)}`, 'Content-Type': 'application/json' };
  ({ id: userId } = (await (await fetch(`${url}/v1/users/me`, { headers })).json()) as { id: string });
});
afterAll(async () => {
  service.process.kill('SIGTERM');
  await service.exited();
  await superuser.end();
  await expectConsistent(database);
  await database.drop();
  await folder.remove();
});

/** A request with its key, and what must become of it. */
interface Placement {
  readonly key: string;
  readonly body: { readonly reference: string };
  readonly expected: 201 | 409 | 422;
}

interface Outcome {
  readonly status: number;
  readonly id: string | undefined;
}

const good = (reference: string) => ({ userId, currency: 'EUR', reference, lines });

/** Of eight, five are good, and the others each bad in a way that another part of the service finds out. */
function placementOf(number: number): Placement {
  const key = randomUUID();
  const order = good(`R-${number}`);
  switch (number % 8) {
    case 5:
      return {
        key,
        body: { ...order, lines: [{ ...lines[0], quantity: 0 }] } as Placement['body'],
        expected: 422,
      };
    case 6:
      return { key, body: { ...order, userId: randomUUID() } as Placement['body'], expected: 422 };
    case 7:
      return { key, body: good('R-taken'), expected: 409 };
    default:
      return { key, body: order, expected: 201 };
  }
}

/** Sends until it is known what became of it: 503, and an answer that never came, say nothing. */
async function settle({ key, body }: Placement): Promise<Outcome> {
  for (;;) {
    const response = await fetch(`${url}/v1/orders`, {
      method: 'POST',
      headers: { ...headers, 'Idempotency-Key': key },
      body: JSON.stringify(body),
    }).catch(() => undefined);
    const answer = (await response?.json().catch(() => undefined)) as
      { id?: string; code?: string } | undefined;
    const isKnown =
      response !== undefined && answer !== undefined && answer.code !== 'idempotency-in-progress';
    if (isKnown && response.status !== 503) return { status: response.status, id: answer.id };
    await delay(randomInt(20, 100));
  }
}

/** Whoever has placed an order reads it at once, on a connection that may go to another worker. */
async function read(id: string): Promise<void> {
  for (let status = 503; status === 503;) {
    const response = await fetch(`${url}/v1/orders/${id}`, { headers: { ...headers, Connection: 'close' } });
    await response.arrayBuffer();
    ({ status } = response);
    expect([200, 503]).toContain(status);
  }
}

it('every order is placed once or not at all, as its answers say, while connections to the database are killed', async () => {
  const taken = await settle({ key: randomUUID(), body: good('R-taken'), expected: 201 });
  expect(taken.status).toBe(201);
  const placements = Array.from({ length: PLACEMENTS }, (_, number) => placementOf(number));
  const placed = new Map<string, string>();
  let next = 0;
  let kills = 0;
  let killed = 0;

  const kill = async () => {
    kills++;
    const { rowCount } = await superuser.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename <> current_user`,
    );
    killed += rowCount ?? 0;
  };
  const client = async () => {
    for (let number = next++; number < PLACEMENTS; number = next++) {
      const placement = placements[number];
      if (placement === undefined) return;
      if (number === Math.ceil(((kills + 1) * PLACEMENTS) / (KILLS + 1))) await kill();
      // Some are sent twice or three times at once, with one key.
      const outcomes = await Promise.all(Array.from({ length: randomInt(4) || 1 }, () => settle(placement)));
      for (const { status, id } of outcomes) {
        expect({ placement, status }).toEqual({ placement, status: placement.expected });
        if (placement.expected !== 201) continue;
        expect(id).toBe(placed.get(placement.body.reference) ?? id);
        placed.set(placement.body.reference, id ?? '');
      }
      if (placement.expected === 201 && number % 10 === 0) await read(outcomes[0]?.id ?? '');
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));

  expect(kills).toBe(KILLS);
  expect(killed).toBeGreaterThan(KILLS);
  const { rows } = await superuser.query<{ reference: string; id: string; lines: number; events: number }>(
    `SELECT reference, id, (SELECT count(*)::integer FROM order_lines WHERE order_id = orders.id) AS lines,
            (SELECT count(*)::integer FROM audit_events WHERE subject_id = orders.id) AS events FROM orders`,
  );
  const expected = new Map(placed).set('R-taken', taken.id ?? '');
  expect(new Map(rows.map(({ reference, id }) => [reference, id]))).toEqual(expected);
  expect(rows).toHaveLength(expected.size);
  expect(rows.filter((row) => row.lines !== lines.length || row.events !== 1)).toEqual([]);
}, 600_000);
