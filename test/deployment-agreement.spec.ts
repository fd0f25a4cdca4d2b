import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readCredentials } from '../src/config/client-credentials.js';
import { readConfig } from '../src/config/config.js';
import { variables } from '../src/config/variables.js';
import { openApiDocument } from '../src/http/openapi-document.js';
import { Metrics } from '../src/metrics/metrics.js';
import {
  all,
  apiOf,
  configurationOf,
  containersOf,
  kustomize,
  type Manifest,
  one,
  podsOf,
  render,
} from './support/manifests.js';
import { readExpression } from './support/promql.js';
import { startService, type TestService } from './support/service.js';

const ROOT = new URL('../', import.meta.url);
const read = (file: string) => readFile(new URL(file, ROOT), 'utf8');

/** Files that the commands of the operations guide put into Secrets. */
const SECRETS: Record<string, readonly string[]> = {
  ordo: ['ORDO_SECRET', 'JWT_KEYS', 'AUDIT_SIGNING_KEY', 'ADMIN_PASSWORD', 'AUDIT_CHECKPOINT_SINK'],
  'ordo-database': ['DATABASE_URL'],
  'ordo-migration': ['MIGRATION_DATABASE_URL'],
  'ordo-integrity': ['ORDO_API_KEY'],
  'ordo-redis': ['REDIS_URL', 'users.acl'],
  'ordo-postgres-owner': ['username', 'password'],
  'ordo-postgres-app': ['username', 'password'],
};

const ed25519 = () =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const VALUES: Record<string, string> = {
  ORDO_SECRET: 'a secret of the tests, 32 characters or more',
  JWT_KEYS: ed25519(),
  AUDIT_SIGNING_KEY: ed25519(),
  ADMIN_PASSWORD: 'the admin of the tests',
  AUDIT_CHECKPOINT_SINK: 'https://storage.example/checkpoint',
  DATABASE_URL: 'postgresql://ordo_app:secret@ordo-pooler/ordo',
  MIGRATION_DATABASE_URL: 'postgresql://ordo_owner:secret@ordo-postgres-rw/ordo',
  REDIS_URL: 'redis://ordo:secret@ordo-redis:6379',
  ORDO_API_KEY: 'ordo_0_secret',
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ordo-deployment-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Every Secret that a pod mounts, with the files of it that its volume or a variable names. */
function secretsOf(manifests: readonly Manifest[]): { name: string; files: string[] }[] {
  return podsOf(manifests).flatMap(({ pod }) =>
    (pod.spec?.volumes ?? []).flatMap(({ name, secret }) => {
      if (secret === undefined) return [];
      const named = pod.spec!.containers.flatMap(({ env = [], volumeMounts = [] }) => {
        const folder = `${volumeMounts.find((mount) => mount.name === name)?.mountPath}/`;
        const paths = env.map(({ value = '' }) => value).filter((value) => value.startsWith(folder));
        return paths.map((path) => path.slice(folder.length));
      });
      const files = secret.items?.map(({ key }) => key) ?? named;
      return [{ name: secret.secretName ?? '', files }];
    }),
  );
}

/** The environment of the only container in the pod of `name`, its mounted secrets in a folder of the test. */
async function environmentOf(manifests: readonly Manifest[], name: string): Promise<Record<string, string>> {
  const { pod } = podsOf(manifests).find((each) => each.name === name)!;
  const [container] = pod.spec!.containers;
  for (const { secret, name: volume } of pod.spec!.volumes ?? []) {
    const mount = container!.volumeMounts!.find((each) => each.name === volume)!.mountPath;
    for (const file of secret?.items?.map(({ path }) => path) ?? SECRETS[secret?.secretName ?? ''] ?? []) {
      await mkdir(join(folder, mount), { recursive: true });
      await writeFile(join(folder, mount, file), VALUES[file] ?? '');
    }
  }
  const configuration = container!.envFrom === undefined ? {} : configurationOf(manifests);
  const own = (container!.env ?? []).map(({ name: variable, value = '' }) => [
    variable,
    variable.endsWith('_FILE') ? folder + value : value,
  ]);
  return { ...configuration, ...(Object.fromEntries(own) as Record<string, string>) };
}

(kustomize === undefined ? describe.skip : describe)('What the manifests say of the service', () => {
  const production = kustomize === undefined ? [] : render('overlays/production');
  const dev = kustomize === undefined ? [] : render('overlays/dev');

  it('is a configuration that it starts with in production', async () => {
    const environment = await environmentOf(production, 'Deployment ordo');
    const config = readConfig(environment);
    expect(config.NODE_ENV).toBe('production');
    expect(config).toMatchObject({
      DATABASE_URL: VALUES.DATABASE_URL,
      REDIS_URL: VALUES.REDIS_URL,
      TRUST_PROXY: 1,
    });
    const known = new Set(Object.keys(variables).flatMap((name) => [name, `${name}_FILE`]));
    expect(Object.keys(environment).filter((name) => !known.has(name))).toEqual([]);
    expect(() => readConfig({ ...environment, JWT_KEYS_FILE: '/nowhere' })).toThrow('JWT_KEYS');
  });

  it('is a configuration of the migration and the integrity check as well', async () => {
    const migration = await environmentOf(production, 'Job ordo-migration');
    expect(Object.keys(migration)).toEqual(['MIGRATION_DATABASE_URL_FILE']);
    expect(readConfig(migration, 'migration').MIGRATION_DATABASE_URL).toBe(VALUES.MIGRATION_DATABASE_URL);
    const integrity = await environmentOf(production, 'CronJob ordo-integrity');
    expect(readCredentials({}, integrity)).toEqual({ kind: 'API key', text: VALUES.ORDO_API_KEY });
  });

  it('names only Secrets and files that the commands of the operations guide make', async () => {
    const guide = await read('docs/operations.md');
    for (const [secret, files] of Object.entries(SECRETS)) {
      const command = new RegExp(`create secret generic ${secret}(?![\\w-])(.*\\\\\\n)*.*(\\n.*"$)?`).exec(
        guide,
      )?.[0];
      for (const file of files) expect([secret, command]).toEqual([secret, expect.stringContaining(file)]);
    }
    for (const { name, files } of secretsOf(production))
      expect(SECRETS[name]).toEqual(expect.arrayContaining(files));
  });

  it('names only Secrets and files that the overlay for development makes itself', () => {
    const made = all(dev, 'Secret').map(
      ({ metadata, data }) => [metadata?.name, Object.keys(data ?? {})] as const,
    );
    const files = new Map(made);
    for (const secret of secretsOf(dev))
      expect(files.get(secret.name)).toEqual(expect.arrayContaining(secret.files));
  });

  it('has its ports, its paths and its programs', async () => {
    const { container } = apiOf(production);
    const { PORT, METRICS_PORT } = readConfig({});
    expect(container.ports).toEqual([
      { name: 'http', containerPort: PORT },
      { name: 'metrics', containerPort: METRICS_PORT },
    ]);
    const probes = [container.startupProbe, container.livenessProbe, container.readinessProbe];
    expect(probes.map((probe) => probe?.httpGet)).toEqual(
      ['/health/startup', '/health/live', '/health/ready'].map((path) => ({ path, port: 'http' })),
    );
    for (const probe of probes) expect(Object.keys(openApiDocument.paths)).toContain(probe?.httpGet?.path);
    const allowed = all(production, 'NetworkPolicy').filter(
      ({ spec }) => spec?.ingress && spec.podSelector?.matchLabels?.['app.kubernetes.io/component'] === 'api',
    );
    const ports = allowed.flatMap(({ spec }) =>
      spec!.ingress!.flatMap((rule) => rule.ports!.map(({ port }) => port)),
    );
    expect(new Set(ports)).toEqual(new Set([PORT, METRICS_PORT]));
    const programs = containersOf(production).flatMap(({ container: { args = [] } }) =>
      args.filter((each) => each.endsWith('.js')),
    );
    expect(programs).toEqual(
      expect.arrayContaining(['dist/src/cli/migrate.js', 'dist/src/cli/integrity.js']),
    );
    for (const program of programs)
      expect([program, existsSync(new URL(program, ROOT))]).toEqual([program, true]);
  });

  it('lets through the gateway what the contract has, and health not', () => {
    const { rules } = one(production, 'HTTPRoute').spec;
    const paths = rules!.flatMap(({ matches }) => matches!.map(({ path }) => path!));
    const isRouted = (request: string) =>
      paths.some(({ type, value = '' }) =>
        type === 'PathPrefix'
          ? request === value || request.startsWith(`${value}/`)
          : type === 'Exact'
            ? request === value
            : new RegExp(`^${value}$`).test(request),
      );
    const pages = ['/', '/docs', '/docs-json', '/problems/not-found'];
    for (const path of [...Object.keys(openApiDocument.paths), ...pages]) {
      expect([path, isRouted(path)]).toEqual([path, !path.startsWith('/health')]);
    }
    const endless = rules!.filter(({ timeouts }) => timeouts?.request === '0s');
    const withoutEnd = endless.flatMap(({ matches }) => matches!.map(({ path }) => path!.value!));
    for (const path of Object.keys(openApiDocument.paths).filter((each) => each.endsWith('/export'))) {
      expect(withoutEnd).toContain(path.replace(/\{\w+\}/g, '[^/]+'));
    }
    const timeout = Number(rules!.at(-1)!.timeouts!.request!.replace('s', '')) * 1_000;
    expect(timeout).toBeGreaterThan(Number(configurationOf(production).REQUEST_TIMEOUT_MS));
  });

  it('fits into the connections that the pooler and PostgreSQL have', async () => {
    const { maxReplicas } = one(production, 'HorizontalPodAutoscaler').spec;
    const { maxSurge } = apiOf(production).deployment.spec!.strategy!.rollingUpdate!;
    const sources = await Promise.all(
      (await readdir('src', { recursive: true }))
        .filter((name) => name.endsWith('.ts'))
        .map((name) => read(`src/${name}`)),
    );
    const limits = sources.flatMap((source) =>
      Array.from(source.matchAll(/new AtOnce\((\d+),/g), ([, most]) => Number(most)),
    );
    expect(limits.length).toBeGreaterThan(1);
    const exports = limits.reduce((sum, most) => sum + most);
    const ofOne = Number(configurationOf(production).DATABASE_POOL_SIZE) + exports;
    const pooler = one(production, 'Pooler', 'ordo-pooler').spec;
    const { max_client_conn, default_pool_size } = pooler.pgbouncer.parameters!;
    expect((maxReplicas + Number(maxSurge)) * ofOne).toBeLessThanOrEqual(
      pooler.instances! * Number(max_client_conn),
    );
    const { max_connections } = one(production, 'Cluster', 'ordo-postgres').spec.postgresql!.parameters!;
    expect(pooler.instances! * Number(default_pool_size)).toBeLessThan(Number(max_connections));
    // Every process has one connection at least when all are busy.
    expect(pooler.instances! * Number(default_pool_size)).toBeGreaterThan(
      (maxReplicas + Number(maxSurge)) * exports,
    );
  });

  it('migrates before the roll-out: the first step of the guide has all that the Job needs, and no Deployment', async () => {
    const step = /kubectl apply -f release.yaml -l '?([\w./-]+)!=(\w+)/.exec(
      await read('docs/operations.md'),
    );
    const [, key = '', value = ''] = step ?? [];
    const first = production.filter(({ metadata }) => metadata?.labels?.[key] !== value);
    const kinds = first.map(({ kind, metadata }) => `${kind} ${metadata?.name ?? ''}`);
    expect(kinds).toEqual(
      expect.arrayContaining([
        'Namespace ordo',
        'ServiceAccount ordo',
        'Job ordo-migration',
        'NetworkPolicy dns',
        'NetworkPolicy migration-to-postgres',
      ]),
    );
    expect(kinds).not.toContain('Deployment ordo');
  });
});

describe('The image', () => {
  it('is made of what is there and not ignored, and starts what there is', async () => {
    const [dockerfile, ignore] = await Promise.all([read('Dockerfile'), read('.dockerignore')]);
    const kept = ignore
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) =>
      files.split(' '),
    );
    expect(copied.length).toBeGreaterThan(5);
    for (const file of copied) {
      expect([
        file,
        existsSync(new URL(file, ROOT)),
        kept.some((each) => file === each || file.startsWith(`${each}/`)),
      ]).toEqual([file, true, true]);
    }
    const programs = [...dockerfile.matchAll(/^(?:CMD|ENTRYPOINT|.*\n? *CMD) \[(.+)\]$/gm)].flatMap(
      ([, list = '']) => list.match(/dist[\w./-]+/g) ?? [],
    );
    expect(programs).toEqual(['dist/src/cli/health.js', 'dist/src/main.js']);
    for (const program of programs)
      expect([program, existsSync(new URL(program, ROOT))]).toEqual([program, true]);
    const { PORT, METRICS_PORT } = readConfig({});
    expect(dockerfile).toContain(`\nEXPOSE ${PORT} ${METRICS_PORT}\n`);
    expect(dockerfile).not.toMatch(/^(RUN|ENV|ARG) .*(PASSWORD|TOKEN|SECRET)/m);
  });

  (kustomize === undefined ? it.skip : it)('runs as the user that the manifests say', async () => {
    const { securityContext } = apiOf(render('overlays/production')).pod;
    expect(await read('Dockerfile')).toContain(
      `\nUSER ${securityContext!.runAsUser}:${securityContext!.runAsGroup}\n`,
    );
  });
});

(kustomize === undefined ? describe.skip : describe)('Alerts and the dashboard', () => {
  const production = kustomize === undefined ? [] : render('overlays/production');
  const rules =
    kustomize === undefined
      ? []
      : one(production, 'PrometheusRule').spec.groups!.flatMap((group) => group.rules!);
  let service: TestService;
  let exported: Map<string, readonly string[]>;

  beforeAll(async () => {
    // Nobody listens there: counters are kept in memory, and the metrics tell.
    service = await startService({ AUDIT_SEALER: 'on', REDIS_URL: 'redis://127.0.0.1:1' });
    exported = await exportedBy(service);
  });
  afterAll(() => service.stop());

  it('ask for metrics and labels that the service exports', () => {
    const expressions = [...rules.map(({ expr }) => String(expr)), ...dashboardExpressions(production)];
    expect(expressions.length).toBeGreaterThan(30);
    for (const expression of expressions)
      expect([expression, unknownIn(expression, exported)]).toEqual([expression, []]);
  });

  it('would be found to ask for what it does not export, or not to be PromQL', () => {
    expect(unknownIn('rate(http_request_seconds_count[5m])', exported)).toEqual([
      'http_request_seconds_count',
    ]);
    expect(unknownIn('http_requests_in_flight{path="/"}', exported)).toEqual([
      'http_requests_in_flight{path}',
    ]);
    expect(() => readExpression('sum(http_requests_in_flight')).toThrow('no PromQL');
  });

  it('are each explained in the operations guide, where their link leads', async () => {
    const guide = await read('docs/operations.md');
    const anchors = [...guide.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const { alert, annotations } of rules) {
      const anchor = annotations!.runbook_url!.split('#')[1];
      expect([alert, anchor]).toEqual([alert, alert!.toLowerCase()]);
      expect(anchors).toContain(anchor);
    }
    expect(anchors.filter((anchor) => anchor.startsWith('ordo')).length).toBe(rules.length);
  });

  it('warn of memory below the limit that the manifest sets', () => {
    const { expr } = rules.find(({ alert }) => alert === 'OrdoMemoryHigh')!;
    const mebibytes = Number(/0\.9 \* (\d+) \* 1024 \* 1024/.exec(String(expr))?.[1]);
    expect(apiOf(production).container.resources!.limits!.memory).toBe(`${mebibytes}Mi`);
  });
});

/** Metrics by name, with their labels, as Prometheus would find them at this service. */
async function exportedBy({ app }: TestService): Promise<Map<string, readonly string[]>> {
  const exported = new Map<string, readonly string[]>(FROM_ELSEWHERE);
  for (const line of (await app.get(Metrics).registry.metrics()).split('\n')) {
    const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name !== undefined)
      exported.set(
        name,
        [...labels.matchAll(/(\w+)="/g)].map(([, label = '']) => label),
      );
  }
  return exported;
}

/** What Prometheus itself and kube-state-metrics tell of a service. */
const FROM_ELSEWHERE: [string, readonly string[]][] = [
  ['up', []],
  ['kube_job_status_failed', ['job_name']],
  ['kube_cronjob_status_last_successful_time', ['cronjob']],
];
const ADDED_BY_SCRAPE = ['job', 'namespace', 'pod'];

function unknownIn(expression: string, exported: Map<string, readonly string[]>): string[] {
  return readExpression(expression).flatMap(({ metric, labels }) => {
    const known = exported.get(metric);
    if (known === undefined) return [metric];
    return labels
      .filter((label) => ![...known, ...ADDED_BY_SCRAPE].includes(label))
      .map((label) => `${metric}{${label}}`);
  });
}

function dashboardExpressions(manifests: readonly Manifest[]): string[] {
  const { data } = one(manifests, 'ConfigMap', 'ordo-dashboard');
  const { panels } = JSON.parse(data!['dashboard.json']!) as { panels: { targets: { expr: string }[] }[] };
  return panels.flatMap(({ targets }) =>
    targets.map(({ expr }) => expr.replaceAll('$__rate_interval', '5m')),
  );
}
