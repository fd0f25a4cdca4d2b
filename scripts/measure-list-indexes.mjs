// What the indexes of the lists cost: the same orders are placed, and brought through their lives, side by side in
// databases of 200,000 orders that differ in nothing but their indexes.
//
//   npm run build && node scripts/measure-list-indexes.mjs [rounds]     (200)
//
// In each round every database, in an order drawn anew, places 25 orders in one transaction and confirms, pays and
// fulfills one of the round before. It prints medians over all rounds, and their ratios to those without the indexes.
import { createHash, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { dataSourceOptions } from '../dist/src/database/data-source.js';
import { grantServiceRole, startEmbeddedDatabase } from '../dist/src/database/embedded/embedded-database.js';
import { migrate } from '../dist/src/database/migrate.js';
import { WritePath } from '../dist/src/database/write-path.js';
import { Precondition } from '../dist/src/http/preconditions.js';
import { Order, OrderLine } from '../dist/src/orders/order.entity.js';
import { OrderCommands } from '../dist/src/orders/order-commands.js';
import { placeOrders, preparePlacement } from '../dist/src/orders/place-orders.js';
import { loadCrowd } from '../test/support/crowd.ts';

const ROUNDS = Number(process.argv[2] ?? 200);
const BATCH = 25;
const CROWD = { users: 5_000, orders: 200_000, events: 200_000 };

/** The indexes that the migration of the lists made, but for those on users. */
const OURS = `SELECT indexname AS name, indexdef AS definition FROM pg_indexes
  WHERE indexname ~ '^(orders_(reference|status|payment_status|fulfillment_status|displaced)|audit_events_[a-z_]+)_idx$'`;
/** The same indexes, but on all rows. */
const whole = (definition) => definition.replace(/ WHERE .*/, '');

/** Which of the indexes a database has, in SQL that makes them; all were dropped before. */
const variants = {
  none: () => [],
  'none, again': () => [],
  'as migrated': (indexes) => indexes.map(({ definition }) => definition),
  'on all rows': (indexes) => indexes.map(({ definition }) => whole(definition)),
  'reference only': (indexes) => only(indexes, 'orders_reference_idx'),
  'status only': (indexes) => only(indexes, 'orders_status_idx'),
  'actor only': (indexes) => only(indexes, 'audit_events_actor_idx'),
};
const only = (indexes, wanted) =>
  indexes.filter(({ name }) => name === wanted).map(({ definition }) => definition);

const folder = await mkdtemp(join(tmpdir(), 'ordo-indexes-'));
await chmod(folder, 0o755);
const server = await startEmbeddedDatabase(folder);
const key = { type: 'api-key', id: randomUUID() };
const access = { reach: 'all', actor: key, role: null, scopes: ['orders:write'] };
const origin = { actor: key, requestId: randomUUID() };
try {
  await main();
} finally {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}

async function main() {
  await migrate(server.ownerUrl);
  await grantServiceRole(server);
  const original = await connect('ordo');
  await loadCrowd(original, CROWD);
  const { rows: indexes } = await original.query(OURS);
  await original.query(`DROP INDEX ${indexes.map(({ name }) => name).join(', ')}`);
  const { rows: users } = await original.query('SELECT id FROM users LIMIT 1000');
  await original.end();
  const contestants = [];
  for (const [position, [name, made]] of Object.entries(variants).entries()) {
    contestants.push(await contestant(name, `variant_${position}`, made(indexes)));
  }
  const orderOf = (number) => place(number, users[number % users.length].id);
  for (let round = -10; round < ROUNDS; round++) {
    for (const each of shuffled(contestants)) await play(each, round, orderOf);
  }
  await report(contestants);
}

async function contestant(name, database, made) {
  const admin = await connect('postgres');
  await admin.query(`CREATE DATABASE ${database} TEMPLATE ordo`);
  await admin.end();
  const client = await connect(database);
  for (const definition of made) await client.query(definition);
  await client.query('CHECKPOINT');
  const options = dataSourceOptions(on(server.serviceUrl, database), 1);
  const source = await new DataSource({
    ...options,
    entities: [Order, OrderLine],
    extra: { idleTimeoutMillis: 0 },
  }).initialize();
  const path = new WritePath(source);
  return {
    name,
    client,
    source,
    path,
    commands: new OrderCommands(path),
    placed: [],
    placing: [],
    moving: [],
    placingWal: [],
    movingWal: [],
  };
}

async function play(each, round, orderOf) {
  const writes = Array.from({ length: BATCH }, (_, index) => orderOf((round + 10) * BATCH + index));
  const [one] = each.placed;
  const start = await walOf(each);
  const placing = await timed(async () => {
    each.placed = (await each.path.writeAll(writes, placeOrders)).map(({ state }) => state);
  });
  const placed = await walOf(each);
  const moving = one === undefined ? 0 : await timed(() => live(each.commands, one));
  const moved = await walOf(each);
  if (round < 0) return;
  each.placing.push((1_000 * placing) / BATCH);
  each.moving.push(moving);
  each.placingWal.push((placed - start) / BATCH);
  each.movingWal.push(moved - placed);
}

async function live(commands, { id, total }) {
  const to = {
    id,
    precondition: Precondition.parse('*', 'allowed'),
    request: { access, origin },
    key: undefined,
  };
  await commands.move('confirm', to);
  await commands.pay(to, { amount: total, provider: 'bank', providerReference: id });
  await commands.fulfill(to, {
    lines: [
      { position: 1, quantity: 3 },
      { position: 2, quantity: 3 },
    ],
  });
  await commands.move('complete', to);
}

function place(number, userId) {
  const line = { name: 'Tea', quantity: 3, unitPrice: 1_299, discountPpm: 0, taxPpm: 190_000 };
  const order = {
    userId,
    currency: 'EUR',
    shipping: 490,
    metadata: {},
    reference: `NEW-${number}`,
    lines: [1, 2].map((position) => ({ ...line, sku: `SKU-${(number * position) % 2_000}` })),
  };
  const fingerprint = createHash('sha256').update(order.reference).digest();
  const request = { scope: key.id, key: order.reference, fingerprint };
  return { input: preparePlacement(order, access), origin, request };
}

async function report(contestants) {
  const [base] = contestants;
  console.log(
    'indexes         | placing: us/order | WAL, bytes   | a life: ms      | WAL, bytes    | updates in place',
  );
  for (const { name, client, source, ...measured } of contestants) {
    await source.query('SELECT pg_stat_force_next_flush()');
    const { rows } = await client.query(
      `SELECT round(100.0 * n_tup_hot_upd / n_tup_upd) AS share FROM pg_stat_user_tables WHERE relname = 'orders'`,
    );
    const cells = ['placing', 'placingWal', 'moving', 'movingWal'].map((what) => {
      const value = median(measured[what]);
      return `${value.toFixed(0).padStart(6)} (${(value / median(base[what])).toFixed(3)})`;
    });
    console.log([name.padEnd(15), ...cells, `${rows[0].share} %`].join(' | '));
    await source.destroy();
    await client.end();
  }
}

async function walOf({ source }) {
  await source.query('SELECT pg_stat_force_next_flush()');
  const [{ bytes }] = await source.query(
    'SELECT wal_bytes::float AS bytes FROM pg_stat_get_backend_wal(pg_backend_pid())',
  );
  return bytes;
}

async function timed(work) {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function median(values) {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function shuffled(values) {
  return values
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

function on(url, database) {
  return Object.assign(new URL(url), { pathname: `/${database}` }).href;
}

async function connect(database) {
  const client = new pg.Client({ connectionString: on(server.superuserUrl, database) });
  // When something fails the server is stopped below them.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
