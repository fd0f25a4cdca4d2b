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
  const embedded = given.DATABASE_URL === undefined ? await startDatabase(given) : undefined;
  try {
    const { serve } = await import('./serve.js');
    await serve(await complete(given, embedded), toldToStop);
  } finally {
    await embedded?.stop();
  }
}

async function startDatabase(config: Config): Promise<EmbeddedDatabase> {
  const logger = pino(lineFormat(config.LOG_LEVEL));
  const starting = startEmbeddedDatabase(DATA_FOLDER, {
    log: (level, message) => {
      logger[level](message);
    },
  });
  // Loading the service takes about as long as the database takes to start: they go on together.
  const [database, { migrate }] = await Promise.all([
    starting,
    import('./database/migrate.js'),
    import('./serve.js'),
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
async function complete(given: Config, embedded: EmbeddedDatabase | undefined): Promise<ServiceConfig> {
  const secret = given.ORDO_SECRET ?? (await keptSecret(DATA_FOLDER, 'ordo-secret'));
  if (embedded === undefined)
    return { ...given, DATABASE_URL: given.DATABASE_URL ?? '', ORDO_SECRET: secret };
  return {
    ...given,
    HOST: given.HOST ?? '127.0.0.1',
    DATABASE_URL: embedded.serviceUrl,
    ORDO_SECRET: secret,
    AUDIT_SIGNING_KEY: given.AUDIT_SIGNING_KEY ?? [await keptSigningKey(DATA_FOLDER, 'audit-signing-key')],
    AUDIT_ORIGIN: given.AUDIT_ORIGIN ?? (await keptOrigin(DATA_FOLDER, 'audit-origin')),
  };
}
