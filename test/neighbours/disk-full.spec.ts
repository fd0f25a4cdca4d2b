import { spawnSync } from 'node:child_process';
import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { createFolder, until } from '../support/process.js';
import { abandonShops, openShop } from './shop.js';

const VOLUME = '400m';
const ROOM = 512 * 1_024;

/** Whether volumes can be mounted here. */
function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const { status } = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']);
  return status === 0;
}

const isPossible = canMount();
if (!isPossible) {
  process.stderr.write('SKIPPED: no disk was filled, for only root can mount a small one, on Linux\n');
}

(isPossible ? describe : describe.skip)('the volume of the database', () => {
  let folder: string;
  let remove: () => Promise<void>;
  let volume: string;
  let server: TestPostgres;
  beforeEach(async () => {
    ({ folder, remove } = await createFolder());
    volume = join(folder, 'volume');
    await mkdir(volume);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${VOLUME},mode=755`, 'tmpfs', volume]);
    expect(mounted.status).toBe(0);
    server = await startPostgres(join(volume, 'data'));
  });
  afterEach(async () => {
    await abandonShops();
    await server.stop('immediate').catch(() => undefined);
    spawnSync('umount', ['--lazy', volume]);
    await remove();
  });

  /** Leaves so little room that tables cannot grow. */
  async function fill(): Promise<() => Promise<void>> {
    const ballast = join(volume, 'ballast');
    const { bavail, bsize } = await statfs(volume);
    const { status } = spawnSync('fallocate', ['--length', String(bavail * bsize - ROOM), ballast]);
    expect(status).toBe(0);
    return () => rm(ballast);
  }

  it('has no room for rows, and then has room again', async () => {
    const shop = await openShop(server, folder);
    await shop.serves();
    const makeRoom = await fill();
    await shop.refuses();
    // Reading goes on: nobody would be helped if there were no replica to ask.
    const orders = await shop.client.send('/v1/orders?limit=1');
    expect([orders.status, shop.health.ready]).toEqual([200, 200]);
    await makeRoom();
    await shop.serves();
    await shop.close();
  });

  it('has no room for the log of PostgreSQL, which gives up until there is room again', async () => {
    const shop = await openShop(server, folder);
    await shop.serves();
    const makeRoom = await fill();
    await until('it is not ready', 60_000, () => {
      server.query('SELECT pg_switch_wal()').catch(() => undefined);
      return shop.health.ready === 503;
    });
    await shop.refuses();
    await makeRoom();
    // As whoever watches over a server does.
    await server.start().catch(() => undefined);
    await shop.serves();
    await shop.close();
  });
});
