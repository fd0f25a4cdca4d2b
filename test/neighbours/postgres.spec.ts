import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { createFolder, eventually, until } from '../support/process.js';
import { type Relay, startRelay } from '../support/relay.js';
import { abandonShops, openShop } from './shop.js';

let folder: string;
let remove: () => Promise<void>;
const stopping: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  ({ folder, remove } = await createFolder());
});
afterEach(async () => {
  await abandonShops();
  for (const stop of stopping.splice(0).reverse()) await stop().catch(() => undefined);
  await remove();
});

async function startServer(settings: Record<string, string> = {}): Promise<TestPostgres> {
  const server = await startPostgres(join(folder, 'primary'), settings);
  stopping.push(() => server.stop('immediate'));
  return server;
}

it.each(['fast', 'immediate'] as const)('PostgreSQL is stopped (%s) and started again', async (mode) => {
  const server = await startServer();
  const shop = await openShop(server, folder);
  await shop.serves();
  for (let time = 0; time < 3; time++) {
    await server.stop(mode);
    await shop.refuses();
    await until('it says that it is not ready', 10_000, () => shop.health.ready === 503);
    await server.start();
    await shop.serves();
  }
  await shop.close();
});

/** A primary that waits for a standby, behind an address that moves. */
async function startPair() {
  const primary = await startServer();
  const standbyFolder = join(folder, 'standby');
  await mkdir(standbyFolder);
  const standby = await primary.startStandby(standbyFolder);
  stopping.push(() => standby.stop('immediate'));
  await primary.query(`ALTER SYSTEM SET synchronous_standby_names = 'standby'`);
  await primary.query(`SELECT pg_reload_conf()`);
  await waitForStandby(primary);
  let target = primary;
  const relay: Relay = await startRelay(() => target.port);
  stopping.push(() => relay.stop());
  const url = new URL(primary.serviceUrl);
  url.port = String(relay.port);
  const moveTo = (server: TestPostgres) => {
    relay.cut(target.port);
    target = server;
  };
  return { primary, standby, url: url.href, moveTo };
}

async function waitForStandby(primary: TestPostgres): Promise<void> {
  await eventually(async () => {
    expect(await primary.query(`SELECT FROM pg_stat_replication WHERE sync_state = 'sync'`)).toHaveLength(1);
  });
}

it('PostgreSQL fails over to its standby', async () => {
  const { primary, standby, url, moveTo } = await startPair();
  const shop = await openShop(standby, folder, { url });
  await shop.serves();
  await primary.stop('immediate');
  await shop.refuses();
  await standby.promote();
  moveTo(standby);
  await shop.serves();
  await shop.close();
  expect(shop.lines.join('\n')).not.toContain('refused');
});

it('connections end up at a standby that takes no writes, until it is promoted', async () => {
  const { primary, standby, url, moveTo } = await startPair();
  const shop = await openShop(standby, folder, { url });
  await shop.serves();
  moveTo(standby);
  await eventually(async () => {
    const read = await shop.client.send('/v1/orders?limit=1');
    expect([read.status, shop.health.ready]).toEqual([200, 200]);
  });
  for (let time = 0; time < 3; time++) await shop.refuses();
  await primary.stop('immediate');
  await standby.promote();
  await shop.serves();
  await shop.close();
});

it('the standby that commits wait for is away, and comes back', async () => {
  const { primary, standby, url } = await startPair();
  const shop = await openShop(primary, folder, { url });
  await shop.serves();
  await standby.stop('fast');
  // Nobody is told that an order was placed before it is kept twice.
  await shop.refuses();
  await standby.start();
  await shop.serves();
  await shop.close();
});
