import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import {
  ADMIN,
  bytes,
  CONTAINER,
  ContainerDeployment,
  DATABASE_PASSWORD,
  secretsOfTests,
  tell,
} from '../support/container-deployment.js';
import { makeRoles } from '../support/deployment-roles.js';
import { startProbe } from '../support/kubelet.js';
import { apiOf, configurationOf, render } from '../support/manifests.js';
import { placeOrders } from '../support/ordering-client.js';
import type { Secrets } from '../support/podman-deployment.js';
import { NODE, type Podman } from '../support/podman.js';
import { eventually, tokenOf, until } from '../support/process.js';

// `npm run test:container`: minutes, root, and Debian's podman, runc, catatonit, iptables and debootstrap.
const describeContainer = process.env.CONTAINER_TEST === undefined ? describe.skip : describe;

/** Longer than the promise of 2 s, for a machine that does other things too: ORDO_START_MS=2000 where it does not. */
const START_MS = Number(process.env.ORDO_START_MS ?? 10_000);
const CLIENTS = 8;
const BEFORE_STOP = 200;

describeContainer('The image, as the manifests for production run it', () => {
  const manifests = process.env.CONTAINER_TEST === undefined ? [] : render('overlays/production');
  let deployment: ContainerDeployment;
  let podman: Podman;
  let superuser: pg.Client;
  let secrets: Secrets;
  let reachable: (port: number) => string;
  let url: string;
  const load = { acknowledged: 0, failures: [] as string[], isReady: true };

  beforeAll(async () => {
    deployment = await ContainerDeployment.create();
    ({ podman } = deployment);
    superuser = new pg.Client({ connectionString: deployment.superuserUrl });
    await superuser.connect();
    await makeRoles(superuser, manifests, DATABASE_PASSWORD);
    secrets = secretsOfTests(deployment.at);
  }, 900_000);

  afterAll(async () => {
    load.isReady = false;
    await superuser.end();
    await deployment.remove();
  }, 60_000);

  it('migrates with the rights, the memory and the arguments of the Job, and then finds nothing to do', async () => {
    const migrate = () => deployment.migrate(manifests, secrets);
    expect(await migrate()).toMatchObject({ code: 0, output: expect.stringContaining('Migrated: ') });
    expect(await migrate()).toMatchObject({ code: 0, output: expect.stringContaining('up to date') });
  }, 120_000);

  it('plays the rendered Deployment: ready for its probes, without rights, within its memory', async () => {
    reachable = await deployment.play(manifests, secrets);
    const { container } = apiOf(manifests);
    url = reachable(container.ports![0]!.containerPort);
    const { periodSeconds = 10 } = container.startupProbe!;
    const startup = startProbe(url, container.startupProbe!);
    await until('it has started', START_MS + periodSeconds * 1_000, () => startup.isUp);
    await startup.stop();
    const [began, log] = await Promise.all([
      podman.inspect(CONTAINER, '{{.State.StartedAt.UnixMilli}}'),
      podman.run('logs', CONTAINER),
    ]);
    const { time = '' } = /"time":"?(?<time>[^",]+).*Ordo listens/.exec(log)?.groups ?? {};
    const listens = Number(time) || Date.parse(time);
    tell(`The service listens ${listens - Number(began)} ms after its container was started`);
    expect(listens - Number(began)).toBeLessThan(START_MS);
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
      capabilities: ['0000000000000000', '0000000000000000'],
      noNewPrivileges: '1',
      seccomp: '2',
      write: 'EROFS',
      heapShare: expect.closeTo(0.75, 1),
      compiled: expect.stringContaining('/app/dist/.compile-cache/'),
    });
    expect((await podman.try('exec', CONTAINER, '/bin/sh', '-c', 'true')).code).not.toBe(0);
  }, 120_000);

  it('stops under load without a failed request, and every order that it acknowledged is there once', async () => {
    const token = await tokenOf(url, ADMIN);
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
});

const SELF_PORTRAIT = `
const status = (name) => fs.readFileSync('/proc/1/status', 'utf8').match(new RegExp('^' + name + ':\\\\s+(\\\\S+)', 'm'))[1];
let write = 'allowed';
try { fs.writeFileSync('/app/x', ''); } catch (error) { write = error.code; }
const { enableCompileCache, getCompileCacheDir } = require('node:module');
enableCompileCache('/app/dist/.compile-cache');
console.log(JSON.stringify({
  one: fs.readFileSync('/proc/1/cmdline', 'utf8').split('\\0').filter(Boolean),
  user: process.getuid(), capabilities: [status('CapEff'), status('CapBnd')],
  noNewPrivileges: status('NoNewPrivs'), seccomp: status('Seccomp'),
  write, heapShare: v8.getHeapStatistics().heap_size_limit / process.constrainedMemory(),
  compiled: String(getCompileCacheDir()),
}))`;
