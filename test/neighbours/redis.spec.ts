import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startPostgres, type TestPostgres } from '../support/postgres.js';
import { createFolder, eventually } from '../support/process.js';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.js';
import { abandonShops, openShop } from './shop.js';

(hasRedis ? describe : describe.skip)('with shared limits', () => {
  let folder: string;
  let remove: () => Promise<void>;
  let server: TestPostgres;
  let redis: TestRedis;
  beforeAll(async () => {
    ({ folder, remove } = await createFolder());
    server = await startPostgres(join(folder, 'primary'));
    redis = await startRedis();
  });
  afterAll(async () => {
    await abandonShops();
    redis.resume();
    await redis.kill();
    await server.stop('immediate');
    await remove();
  });

  it('Redis is away, stalls and comes back, and nobody is refused for it', async () => {
    const shop = await openShop(server, folder, { environment: { REDIS_URL: redis.url } });
    const told = (text: string) =>
      eventually(async () => expect(shop.lines.filter((line) => line.includes(text))).not.toEqual([]));
    await shop.serves();
    await redis.kill();
    await told('Redis is away');
    await shop.serves();
    await redis.start();
    await told('Redis is back');
    await shop.serves();
    redis.stall();
    await shop.serves();
    redis.resume();
    await shop.serves();
    await shop.close();
    expect([...shop.statuses.keys()].sort()).toEqual([200, 201]);
  });
});
