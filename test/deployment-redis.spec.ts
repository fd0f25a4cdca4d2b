import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createClient } from 'redis';
import { hasRedis, startRedis, type TestRedis } from './support/redis.js';
import { startService, type TestService } from './support/service.js';

const CONFIGURATION = new URL('../k8s/components/redis/redis.conf', import.meta.url);
const GUIDE = new URL('../docs/operations.md', import.meta.url);
const PASSWORD = '0123456789abcdef0123456789abcdef0123456789abcdef';
const LIMIT = 400;

/** Redis as the component runs it, with the Secret that the guide has operators make. */
(hasRedis ? describe : describe.skip)('Redis, with the configuration and the users of a deployment', () => {
  let folder: string;
  let redis: TestRedis;
  let url: string;
  const replicas: TestService[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ordo-redis-'));
    const command = /create secret generic ordo-redis((?:.*\n)*?.*)"\n/.exec(
      await readFile(GUIDE, 'utf8'),
    )?.[1];
    const secret = new Map(
      [...(command ?? '').matchAll(/--from-literal=([\w.]+)="([^"]+)/g)].map(([, file = '', text = '']) => [
        file,
        text.replaceAll('$REDIS', PASSWORD),
      ]),
    );
    const users = join(folder, 'users.acl');
    await writeFile(users, `${secret.get('users.acl') ?? ''}\n`);
    redis = await startRedis({ configuration: CONFIGURATION.pathname, users });
    const given = new URL(secret.get('REDIS_URL') ?? '');
    given.host = new URL(redis.url).host;
    url = given.href;
    const settings = { REDIS_URL: url, RATE_LIMIT: LIMIT };
    const first = await startService(settings);
    replicas.push(first, await startService(settings, first.database));
  });
  afterAll(async () => {
    for (const replica of replicas.reverse()) await replica.stop();
    await redis.kill();
    await rm(folder, { recursive: true });
  });

  it('counts the requests of a caller at all replicas', async () => {
    const [one, other] = replicas as [TestService, TestService];
    const ask = async ({ url: replica }: TestService) => (await fetch(`${replica}/v1/users/me`)).status;
    const untilRefused = async (replica: TestService, most: number) => {
      for (let asked = 1; asked <= most; asked++) if ((await ask(replica)) === 429) return asked;
      return undefined;
    };
    expect(await untilRefused(one, LIMIT + 1)).toBeLessThanOrEqual(LIMIT + 1);
    // On its own it would let as many through again.
    expect(await untilRefused(other, LIMIT / 2)).toBeLessThan(LIMIT / 2);
  });

  it('lets the service count, and neither it administer nor strangers in', async () => {
    const service = await createClient({ url }).connect();
    expect(await service.keys('ordo:*').catch(String)).toContain('NOPERM');
    expect(await service.configGet('*').catch(String)).toContain('NOPERM');
    expect(await service.flushAll().catch(String)).toContain('NOPERM');
    const memory = await service.info('memory');
    expect(memory).toContain('maxmemory_policy:volatile-ttl');
    expect(memory).toContain(`maxmemory:${100 * 2 ** 20}`);
    service.destroy();
    const stranger = createClient({ url: redis.url, socket: { reconnectStrategy: false } });
    stranger.on('error', () => undefined);
    await stranger.connect().catch(() => undefined);
    expect(await stranger.get('ordo').catch(String)).toMatch(/NOAUTH|closed/);
    if (stranger.isOpen) stranger.destroy();
  });
});
