import cluster from 'node:cluster';
import { resolve } from 'node:path';
import { pino } from 'pino';
import { type Config, readConfig, type ServiceConfig } from './config/config.js';
import { keptOrigin, keptSecret, keptSigningKey } from './config/kept-secret.js';
import { lineFormat } from './config/line-format.js';
import { StartupError } from './config/startup-error.js';
import {
  type EmbeddedDatabase,
  grantServiceRole,
  startEmbeddedDatabase,
} from './database/embedded/embedded-database.js';

/** Where the embedded PostgreSQL and its secrets are kept. */
const DATA_FOLDER = resolve('.ordo');

/** Beside its pool a process has connections for exports and for sealing. */
const SPARE_CONNECTIONS = 10;

/** The whole life of the process, until it is told to stop or cannot go on; ends the process. */
export async function run(toldToStop: Promise<unknown>): Promise<never> {
  try {
    await live(toldToStop);
    process.exit(0);
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${error instanceof StartupError ? `ordo: ${error.message}` : stack}\n`);
    process.exit(1);
  }
}

async function live(toldToStop: Promise<unknown>): Promise<void> {
  const given = readConfig();
  if (cluster.isWorker) {
    const { askPrimary } = await import('./workers.js');
    const { embeddedUrl, port = given.PORT } = await askPrimary();
    await serveFrom({ ...given, PORT: port }, embeddedUrl, toldToStop);
    return;
  }
  const embedded = given.DATABASE_URL === undefined ? await startDatabase(given) : undefined;
  try {
    if (given.WORKERS === 1) {
      await serveFrom(given, embedded?.serviceUrl, toldToStop);
    } else {
      const { superviseWorkers } = await import('./workers.js');
      await superviseWorkers(given, embedded?.serviceUrl, toldToStop);
    }
  } finally {
    await embedded?.stop();
  }
}

async function serveFrom(
  given: Config,
  embeddedUrl: string | undefined,
  toldToStop: Promise<unknown>,
): Promise<void> {
  const stopTracing = await traceTo(given);
  const { serve } = await import('./serve.js');
  try {
    await serve(await complete(given, embeddedUrl), toldToStop);
  } finally {
    await stopTracing?.();
  }
}

/** Begins to trace where somebody listens, and returns what ends it. Only then the packages for it are loaded. */
async function traceTo(config: Config): Promise<(() => Promise<void>) | undefined> {
  if (config.OTEL_EXPORTER_OTLP_ENDPOINT === undefined) return undefined;
  const { startTracing } = await import('./tracing/open-telemetry.js');
  const logger = pino(lineFormat(config.LOG_LEVEL));
  return startTracing(config.OTEL_EXPORTER_OTLP_ENDPOINT, config, (message) => {
    logger.warn(message);
  });
}

async function startDatabase(config: Config): Promise<EmbeddedDatabase> {
  const logger = pino(lineFormat(config.LOG_LEVEL));
  const starting = startEmbeddedDatabase(DATA_FOLDER, {
    maxConnections: Math.max(100, config.WORKERS * (config.DATABASE_POOL_SIZE + SPARE_CONNECTIONS)),
    log: (level, message) => {
      logger[level](message);
    },
  });
  // Loading the service takes about as long as the database takes to start: they go on together.
  const [database, { migrate }] = await Promise.all([
    starting,
    import('./database/migrate.js'),
    config.WORKERS === 1 ? import('./serve.js') : undefined,
  ]);
  try {
    await migrate(database.ownerUrl);
    await grantServiceRole(database);
  } catch (error) {
    await database.stop();
    throw error;
  }
  return database;
}

/** Fills in what the embedded database decides, and what is kept beside its data. */
async function complete(given: Config, embeddedUrl: string | undefined): Promise<ServiceConfig> {
  const secret = given.ORDO_SECRET ?? (await keptSecret(DATA_FOLDER, 'ordo-secret'));
  if (embeddedUrl === undefined)
    return { ...given, DATABASE_URL: given.DATABASE_URL ?? '', ORDO_SECRET: secret };
  return {
    ...given,
    HOST: given.HOST ?? '127.0.0.1',
    DATABASE_URL: embeddedUrl,
    ORDO_SECRET: secret,
    AUDIT_SIGNING_KEY: given.AUDIT_SIGNING_KEY ?? [await keptSigningKey(DATA_FOLDER, 'audit-signing-key')],
    AUDIT_ORIGIN: given.AUDIT_ORIGIN ?? (await keptOrigin(DATA_FOLDER, 'audit-origin')),
  };
}
