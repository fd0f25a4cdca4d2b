import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ConfigService } from '@nestjs/config';
import fc from 'fast-check';
import { PinoLogger } from 'nestjs-pino';
import { createClient } from 'redis';
import { DataSource } from 'typeorm';
import { readConfig, type ServiceConfig } from '../src/config/config.js';
import { addressOf } from '../src/limits/address.js';
import { Counters } from '../src/limits/counters.js';
import { EventAllowance } from '../src/limits/event-allowance.js';
import { waitAfter } from '../src/limits/growing-limit.js';
import { MemoryLimiter } from '../src/limits/memory-limiter.js';
import { SignInLimit } from '../src/limits/sign-in-limit.js';
import { Metrics } from '../src/metrics/metrics.js';
import { eventually } from './support/process.js';
import { hasRedis, startRedis, type TestRedis } from './support/redis.js';
import { startService, type TestService } from './support/service.js';

const SECRET = 'a secret of the tests, 32 characters or more';
const ACCOUNT = 'ada.lovelace@example.com';
const ADDRESS = '203.0.113.7';

/** Counters of one process, and what they told. */
interface Process {
  readonly counters: Counters;
  readonly signIn: SignInLimit;
  readonly lines: string[];
  metric(name: string): Promise<number | undefined>;
}

const running: Counters[] = [];

async function startCounters(settings: Partial<ServiceConfig> = {}): Promise<Process> {
  const lines: string[] = [];
  const logger = new PinoLogger({ pinoHttp: { level: 'silent' } });
  for (const level of ['info', 'warn'] as const) {
    jest
      .spyOn(logger, level)
      .mockImplementation((...line) => void lines.push(JSON.stringify([level, ...line])));
  }
  const metrics = new Metrics(new DataSource({ type: 'postgres' }));
  const config = new ConfigService<ServiceConfig, true>({
    NODE_ENV: 'test',
    ORDO_SECRET: SECRET,
    ...settings,
  });
  const counters = new Counters(config, logger, metrics);
  await counters.onModuleInit();
  running.push(counters);
  return {
    counters,
    signIn: new SignInLimit(counters),
    lines,
    metric: async (name) => (await metrics.registry.getSingleMetric(name)?.get())?.values[0]?.value,
  };
}

/** Redis is given all the time it takes: on a busy machine it must not look as if it were away. */
function waitForRedis(): void {
  jest.useFakeTimers({ doNotFake: ['Date', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate'] });
}

afterEach(() => {
  jest.useRealTimers();
  for (const counters of running.splice(0)) counters.onApplicationShutdown();
});

describe('the settings', () => {
  it.each([
    ['REDIS_URL', 'https://ordo:canary-password@cache.example'],
    ['REDIS_URL', 'redis://ordo:canary-password@cache.example/first'],
    ['RATE_LIMIT', '0'],
    ['RATE_LIMIT', '1000001'],
    ['TRUST_PROXY', 'true'],
    ['TRUST_PROXY', '11'],
  ])('refuse %s=%s', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(name);
    expect(() => readConfig({ [name]: value })).not.toThrow('canary');
  });

  it('take what they should', () => {
    const given = {
      REDIS_URL: 'rediss://ordo:password@cache.example:6380/3',
      RATE_LIMIT: '1',
      TRUST_PROXY: '2',
    };
    expect(readConfig(given)).toMatchObject({ REDIS_URL: given.REDIS_URL, RATE_LIMIT: 1, TRUST_PROXY: 2 });
    expect(readConfig({})).toMatchObject({ REDIS_URL: undefined, RATE_LIMIT: 6_000, TRUST_PROXY: 0 });
  });
});

describe('the address of a caller', () => {
  it.each([
    ['203.0.113.7', '203.0.113.7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['::FFFF:203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:40123', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::1', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::9]:443', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80::/64'],
    ['::1', '::1'],
    ['unknown', 'unknown'],
    ['_hidden', 'unknown'],
    ['203.0.113.7/64', 'unknown'],
    ['', 'unknown'],
    [undefined, 'unknown'],
  ])('of %s is %s', (ip, address) => {
    expect(addressOf({ ip })).toBe(address);
  });
});

describe('the wait after failures', () => {
  it('is nothing while attempts are free, then doubles up to the longest', () => {
    expect([4, 5, 6, 7, 8].map((attempts) => waitAfter(attempts, { free: 5, longest: 900 }))).toEqual([
      0, 1, 2, 4, 8,
    ]);
    fc.assert(
      fc.property(
        fc.nat(5_000),
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 3_600 }),
        (n, free, longest) => {
          const wait = waitAfter(n, { free, longest });
          const next = waitAfter(n + 1, { free, longest });
          expect(wait === 0).toBe(n < free);
          expect(Number.isInteger(wait) && wait <= longest).toBe(true);
          expect(next).toBe(n + 1 < free ? 0 : wait === 0 ? 1 : Math.min(longest, 2 * wait));
        },
      ),
    );
  });
});

describe('counts in memory', () => {
  it('forget the oldest keys when there are too many', async () => {
    const limiter = new MemoryLimiter(100);
    for (let key = 0; key < 1_000; key += 1) await limiter.penalty(`${key}`, 1, { customDuration: 60 });
    expect(limiter.dump().storage).toHaveLength(100);
    expect(await limiter.get('899')).toBeNull();
    expect(await limiter.get('900')).toMatchObject({ consumedPoints: 1 });
  });

  it('keep a mark for longer than a timer can wait', async () => {
    const { counters } = await startCounters();
    await counters.mark('kind', 'who', 30 * 86_400);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await counters.get('kind', 'who')).toMatchObject({ hits: 1 });
  });

  it('in production are told at the start', async () => {
    const { lines } = await startCounters({ NODE_ENV: 'production' });
    expect(lines).toEqual([expect.stringContaining('per process')]);
  });
});

describe('the allowance of security events', () => {
  beforeEach(() => void jest.useFakeTimers({ now: 0 }));

  it('is so many a minute for one key and for all, and counts those that were refused', async () => {
    const metrics = new Metrics(new DataSource({ type: 'postgres' }));
    const allowance = new EventAllowance(metrics);
    const take = (times: number, key: (n: number) => string) =>
      Array.from({ length: times }, (_, n) => allowance.take(key(n))).filter(Boolean).length;

    expect(take(100, () => 'one')).toBe(60);
    expect(take(10_000, (n) => `flood ${n}`)).toBe(3_000 - 60);
    const dropped = await metrics.registry.getSingleMetric('security_events_dropped_total')?.get();
    expect(dropped?.values[0]?.value).toBe(40 + 10_000 - 2_940);

    jest.advanceTimersByTime(60_000);
    expect(take(100, () => 'one')).toBe(60);
  });
});

let redis: TestRedis;
beforeAll(async () => {
  if (hasRedis) redis = await startRedis();
});
afterAll(() => (hasRedis ? redis.kill() : undefined));

const stores = hasRedis ? (['memory', 'Redis'] as const) : (['memory'] as const);

describe.each(stores)('sign-in, counted in %s', (store) => {
  let signIn: SignInLimit;
  let tests = 0;
  beforeEach(async () => {
    // With another secret the keys are others too.
    tests += 1;
    const ORDO_SECRET = `${SECRET} ${tests}`;
    ({ signIn } = await startCounters({ ORDO_SECRET, ...(store === 'Redis' && { REDIS_URL: redis.url }) }));
    waitForRedis();
  });

  /** Of 200 attempts at once only the free ones go on, and one more whenever the shortest wait, a second, is over. */
  async function expectPassed(free: number, attempt: (n: number) => { account: string; address: string }) {
    const start = performance.now();
    const waits = await Promise.all(Array.from({ length: 200 }, (_, n) => signIn.begin(attempt(n))));
    const passed = waits.filter((wait) => wait === 0).length;
    expect(passed).toBeGreaterThanOrEqual(free);
    expect(passed).toBeLessThanOrEqual(free + Math.floor((performance.now() - start) / 1_000));
  }

  it('lets the free attempts of many at once through, and no other', async () => {
    await expectPassed(5, () => ({ account: ACCOUNT, address: ADDRESS }));
  });

  it('lets the free attempts of many addresses at once through, and no other', async () => {
    await expectPassed(50, (n) => ({ account: ACCOUNT, address: `198.51.100.${n}` }));
  });

  it('lets the free attempts of one address on many accounts through, and no other', async () => {
    await expectPassed(100, (n) => ({ account: `${n}@example.com`, address: ADDRESS }));
  });

  it('lets one more through after the wait, which refused attempts do not prolong, and then waits longer', async () => {
    const attempt = { account: ACCOUNT, address: ADDRESS };
    for (let n = 0; n < 5; n += 1) expect(await signIn.begin(attempt)).toBe(0);
    let refused = 0;
    for (; (await signIn.begin(attempt)) === 1; refused += 1) await new Promise(setImmediate);
    expect(refused).toBeGreaterThan(20);
    expect(await signIn.begin(attempt)).toBe(2);
  });

  it('leaves an address from which the owner signed in open while others hammer the account', async () => {
    const owner = { account: ACCOUNT, address: ADDRESS };
    expect(await signIn.begin(owner)).toBe(0);
    await signIn.succeeded(owner);

    await expectPassed(50, (n) => ({ account: ACCOUNT, address: `198.51.100.${n}` }));
    expect(await signIn.begin({ account: ACCOUNT, address: '192.0.2.1' })).toBeGreaterThan(0);
    for (let n = 0; n < 5; n += 1) expect(await signIn.begin(owner)).toBe(0);
    // Whoever guesses at the owner's own address has no more than that.
    expect(await signIn.begin(owner)).toBe(1);
  });

  it('counts no attempt that succeeded', async () => {
    for (let n = 0; n < 120; n += 1) {
      const attempt = { account: `${n % 2}@example.com`, address: ADDRESS };
      expect(await signIn.begin(attempt)).toBe(0);
      await signIn.succeeded(attempt);
    }
  });
});

(hasRedis ? describe : describe.skip)('counters in Redis', () => {
  const add = ({ counters }: Process) => counters.add('kind', ADDRESS, 60);

  it('are shared', async () => {
    const [one, other] = [
      await startCounters({ REDIS_URL: redis.url }),
      await startCounters({ REDIS_URL: redis.url }),
    ];
    expect(await add(one)).toMatchObject({ hits: 1 });
    expect(await add(other)).toMatchObject({ hits: 2 });
    expect(await other.metric('rate_limit_store_up')).toBe(1);
    expect(one.lines).toEqual([]);
  });

  it('go on in memory while Redis is gone, told once, and in Redis when it is back', async () => {
    const one = await startCounters({ REDIS_URL: redis.url });
    const other = await startCounters({ REDIS_URL: redis.url });
    const before = (await add(one)).hits;

    await redis.kill();
    const start = performance.now();
    const counts = await Promise.all(Array.from({ length: 50 }, () => add(one)));
    expect(performance.now() - start).toBeLessThan(1_000);
    expect(counts.map(({ hits }) => hits)).toEqual(Array.from({ length: 50 }, (_, n) => n + 1));
    expect(await one.metric('rate_limit_store_up')).toBe(0);
    expect(await one.metric('rate_limit_store_fallbacks_total')).toBe(50);

    await redis.start();
    await eventually(async () => {
      expect(await one.metric('rate_limit_store_up')).toBe(1);
      expect(await other.metric('rate_limit_store_up')).toBe(1);
    });
    expect(before).toBeGreaterThan(0);
    expect(await add(one)).toMatchObject({ hits: 1 });
    expect(await add(other)).toMatchObject({ hits: 2 });
    expect(one.lines).toEqual([
      expect.stringContaining('Redis is away'),
      expect.stringContaining('Redis is back'),
    ]);
    expect(one.lines.join()).not.toContain(redis.url.slice('redis://'.length));
    expect(one.lines.join()).not.toContain(ADDRESS);
  });

  it('make nobody wait while Redis hangs', async () => {
    const one = await startCounters({ REDIS_URL: redis.url });
    redis.stall();
    try {
      const start = performance.now();
      await Promise.all(Array.from({ length: 50 }, () => add(one)));
      const first = performance.now() - start;
      for (let n = 0; n < 100; n += 1) await add(one);
      expect(first).toBeLessThan(1_000);
      expect(performance.now() - start - first).toBeLessThan(500);
      expect(one.lines).toEqual([expect.stringContaining('Redis is away')]);

      // A process that starts meanwhile is not held up either, although Redis takes its connection.
      const late = performance.now();
      const other = await startCounters({ REDIS_URL: redis.url });
      expect(performance.now() - late).toBeLessThan(4_000);
      expect(await add(other)).toMatchObject({ hits: 1 });
    } finally {
      redis.resume();
    }
    await eventually(async () => expect(await one.metric('rate_limit_store_up')).toBe(1));
    expect(one.lines).toHaveLength(2);
  });

  it('start when Redis is away or refuses, which names no password', async () => {
    const away = await startCounters({ REDIS_URL: 'redis://ordo:canary-password@127.0.0.1:1' });
    const refused = await startCounters({ REDIS_URL: redis.url.replace('//', '//ordo:canary-password@') });
    for (const { lines } of [away, refused])
      expect(lines).toEqual([expect.stringContaining('Redis is away')]);
    expect(away.lines[0]).toContain('ECONNREFUSED');
    expect(refused.lines[0]).toContain('WRONGPASS');
    expect([...away.lines, ...refused.lines].join()).not.toContain('canary');
    expect(await add(away)).toMatchObject({ hits: 1 });
  });

  it('hold neither account nor address, and nothing for ever', async () => {
    const { signIn, counters } = await startCounters({ REDIS_URL: redis.url });
    const attempt = { account: ACCOUNT, address: ADDRESS };
    for (let n = 0; n < 6; n += 1) await signIn.begin(attempt);
    await signIn.succeeded({ account: ACCOUNT, address: '192.0.2.55' });
    await counters.add('caller', ADDRESS, 60);

    const client = await createClient({ url: redis.url }).connect();
    const keys = await client.keys('*');
    const all = await Promise.all(
      keys.map(async (key) => ({ key, value: await client.get(key), ttl: await client.pTTL(key) })),
    );
    client.destroy();
    expect(all.length).toBeGreaterThan(5);
    for (const { key, value, ttl } of all) {
      expect(key).toMatch(/^ordo:(probe|[a-z-]+:[\w-]{22})$/);
      expect(value ?? 'over').toMatch(/^(-?\d+|over)$/);
      expect(ttl).not.toBe(-1);
    }
  });
});

describe('requests', () => {
  let services: TestService[] = [];
  afterEach(async () => {
    for (const service of services.reverse()) await service.stop();
    services = [];
  });

  async function start(settings: Partial<ServiceConfig>): Promise<TestService> {
    const service = await startService(settings, services[0]?.database);
    services.push(service);
    return service;
  }

  const PAGE = '/problems/not-found';
  const get = (service: TestService, address: string, path = PAGE) =>
    fetch(service.url + path, { headers: { 'X-Forwarded-For': address } });

  it('of one caller are limited on all routes together, except those for probes', async () => {
    const service = await start({ RATE_LIMIT: 5, TRUST_PROXY: 1 });
    for (let left = 4; left >= 0; left -= 1) {
      const answer = await get(service, ADDRESS, left % 2 === 0 ? PAGE : '/.well-known/jwks.json');
      expect(answer.status).toBe(200);
      expect(answer.headers.get('RateLimit-Policy')).toBe('"caller";q=5;w=60');
      expect(answer.headers.get('RateLimit')).toMatch(new RegExp(`^"caller";r=${left};t=[3-6]\\d$`));
    }
    const refused = await get(service, ADDRESS);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('Content-Type')).toContain('application/problem+json');
    expect(refused.headers.get('RateLimit-Policy')).toBe('"caller";q=5;w=60');
    const [, wait] = /^"caller";r=0;t=(\d+)$/.exec(refused.headers.get('RateLimit') ?? '') ?? [];
    expect(refused.headers.get('Retry-After')).toBe(wait);
    expect(await refused.json()).toMatchObject({ code: 'rate-limited' });

    const probe = await get(service, ADDRESS, '/health/live');
    expect(probe.status).toBe(200);
    expect(probe.headers.has('RateLimit')).toBe(false);
    // Who signed in is somebody else, wherever the request comes from.
    await service.send('get', '/v1/orders').set('X-Forwarded-For', ADDRESS).expect(200);
  });

  it('are limited more on costly routes', async () => {
    const service = await start({ RATE_LIMIT: 119, TRUST_PROXY: 1 });
    const signIn = () =>
      service
        .as(undefined)
        .send('post', '/v1/auth/login')
        .set('X-Forwarded-For', ADDRESS)
        .send({ email: 'nobody@example.com', password: 'not the password' });
    const first = await signIn().expect(401);
    expect(first.headers).toMatchObject({
      'ratelimit-policy': '"caller";q=119;w=60, "costly";q=1;w=60',
      ratelimit: expect.stringMatching(/^"caller";r=118;t=\d+, "costly";r=0;t=\d+$/),
    });
    const { body } = await signIn().expect(429);
    expect(body).toMatchObject({ code: 'rate-limited' });
    expect((await get(service, ADDRESS)).status).toBe(200);
  });

  it('count by the address that the proxies of TRUST_PROXY saw, and by no other', async () => {
    const behind = await start({ RATE_LIMIT: 1, TRUST_PROXY: 1 });
    expect((await get(behind, '203.0.113.1')).status).toBe(200);
    expect((await get(behind, '203.0.113.2')).status).toBe(200);
    expect((await get(behind, '203.0.113.3, 203.0.113.1')).status).toBe(429);
    expect((await get(behind, '2001:db8::1')).status).toBe(200);
    expect((await get(behind, '2001:db8::2')).status).toBe(429);

    // The admin's sign-in was the first of two.
    const exposed = await start({ RATE_LIMIT: 2 });
    expect((await get(exposed, '203.0.113.1')).status).toBe(200);
    expect((await get(exposed, '203.0.113.2')).status).toBe(429);
  });

  (hasRedis ? it : it.skip)('are counted by all replicas together in Redis', async () => {
    const settings = { RATE_LIMIT: 600, TRUST_PROXY: 1, REDIS_URL: redis.url };
    const [one, other] = [await start(settings), await start(settings)];
    for (const left of [599, 598, 597, 596]) {
      const answer = await get(left % 2 === 0 ? one : other, '203.0.113.99');
      expect(answer.headers.get('RateLimit')).toContain(`"caller";r=${left};`);
    }
  });
});
