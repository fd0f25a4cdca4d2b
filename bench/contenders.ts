import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cluster, Database } from './cluster.js';
import { DatabaseFloor } from './floor/postgresql.js';
import { drive, type Extent, type Load } from './load.js';
import type { ContenderName } from './options.js';
import { type Server, startServer } from './process.js';
import { ownUsage, type Usage, usageOf } from './usage.js';
import { type BenchRequest, type NextRequest, signIn } from './workloads.js';

/** Access tokens live ten minutes. */
const TOKENS_MS = 300_000;

/** Somebody who is measured. */
export interface Contender {
  readonly name: ContenderName;
  /** What it has used of the machine, where the system tells. */
  usage(): Usage | undefined;
  /** Sends requests for a while; `settle` waits until those are done that were left unanswered at the end. */
  drive(next: NextRequest, connections: number, extent: Extent, signal: AbortSignal): Promise<Load>;
  settle(next: NextRequest): Promise<void>;
  stop(): Promise<void>;
}

/** A contender that is reached over HTTP and has a database of its own. */
export interface HttpContender extends Contender {
  readonly server: Server;
  readonly database: Database;
  /** Tokens of the callers, which last for a while. */
  readonly tokens: () => Promise<readonly string[]>;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Sends one request. */
export async function send(url: string, { method, path, headers, body }: BenchRequest): Promise<Answer> {
  const response = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) });
  return { status: response.status, text: await response.text() };
}

const PROGRAMS = {
  ordo: '../src/main.js',
  'nest-typeorm': './peers/nest-typeorm/main.js',
  'fastify-pg': './peers/fastify-pg/main.js',
};

/** What Node.js is given to run a program: the service as `npm start` runs it, the peers without options. */
export function argumentsOf(name: keyof typeof PROGRAMS): readonly string[] {
  const file = fileURLToPath(new URL(PROGRAMS[name], import.meta.url));
  return name === 'ordo' ? ['--max-semi-space-size=16', file] : [file];
}

/** Makes the environment that the service and its peers share: keys, secret, limits that nobody meets. */
export function sharedEnvironment(): Record<string, string> {
  const { privateKey } = generateKeyPairSync('ed25519');
  return {
    LOG_LEVEL: 'info',
    RATE_LIMIT: '1000000',
    ORDO_SECRET: randomBytes(32).toString('base64url'),
    JWT_KEYS: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    // The service signs its log as well; the peers have none.
    AUDIT_SIGNING_KEY: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    AUDIT_ORIGIN: 'localhost/bench',
    METRICS_PORT: '0',
  };
}

/** Starts the service or a peer on a database of its own; with `profile` under Node's profiler, into that folder. */
export async function startHttp(
  name: keyof typeof PROGRAMS,
  cluster: Cluster,
  environment: Readonly<Record<string, string>>,
  profile?: string,
): Promise<HttpContender> {
  const database = await cluster.createDatabase(name);
  const server = await startServer({
    name,
    args: [
      ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]),
      ...argumentsOf(name),
    ],
    environment: { ...environment, DATABASE_URL: database.url },
    folder: cluster.folder,
  });
  const { callers, password } = cluster.data;
  let known: { readonly tokens: readonly string[]; readonly since: number } | undefined;
  const tokens = async () => {
    if (known !== undefined && Date.now() - known.since < TOKENS_MS) return known.tokens;
    const fresh = await Promise.all(callers.map(({ email }) => accessToken(server.url, email, password)));
    known = { tokens: fresh, since: Date.now() };
    return fresh;
  };
  return { name, database, ...overHttp(cluster, server, tokens), tokens };
}

/** Starts the floor of HTTP, which answers what it is given here, by method and path. */
export async function startHttpFloor(
  cluster: Cluster,
  answers: Readonly<Record<string, { readonly status: number; readonly body: string }>>,
  like: HttpContender,
): Promise<Contender> {
  const file = join(cluster.folder, 'answers.json');
  writeFileSync(file, JSON.stringify(answers));
  const program = fileURLToPath(new URL('./floor/node-http.js', import.meta.url));
  const server = await startServer({
    name: 'node-http',
    args: [program],
    environment: { ANSWERS: file },
    folder: cluster.folder,
  });
  return { name: 'node-http', ...overHttp(cluster, server, like.tokens) };
}

/** The floor of the database, in this process. */
export async function startDatabaseFloor(cluster: Cluster): Promise<Contender> {
  const { url } = await cluster.createDatabase('postgresql');
  const floor = new DatabaseFloor(url, cluster.data.callers[0]?.id ?? '');
  return {
    name: 'postgresql',
    usage: ownUsage,
    drive: (next, connections, extent, signal) =>
      floor.drive(() => next(cluster.data, ['']), connections, extent, signal),
    settle: () => Promise.resolve(),
    stop: () => floor.close(),
  };
}

/** A folder that outlives the run. */
export function profileFolder(): string {
  return mkdtempSync(join(tmpdir(), 'ordo-profile-'));
}

function overHttp({ data }: Cluster, server: Server, tokens: () => Promise<readonly string[]>) {
  const { pid, url } = server;
  return {
    server,
    usage: () => usageOf(pid),
    async drive(next: NextRequest, connections: number, extent: Extent, signal: AbortSignal) {
      const current = await tokens();
      server.forgetLog();
      return drive({ url, next: () => next(data, current), connections, extent, signal });
    },
    async settle(next: NextRequest) {
      await send(url, next(data, await tokens()));
    },
    stop: () => server.stop(),
  };
}

async function accessToken(url: string, email: string, password: string): Promise<string> {
  const { status, text } = await send(url, signIn(email, password));
  if (status !== 200) throw new Error(`Signing in was answered with ${status}: ${text}`);
  return (JSON.parse(text) as { accessToken: string }).accessToken;
}
