import 'reflect-metadata';
import type { AddressInfo } from 'node:net';
import { resolve } from 'node:path';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { PinoLogger } from 'nestjs-pino';
import { type Config, readConfig, type ServiceConfig } from './config/config.js';
import { keptSecret } from './config/kept-secret.js';
import { StartupError } from './config/startup-error.js';
import {
  type EmbeddedDatabase,
  grantServiceRole,
  startEmbeddedDatabase,
} from './database/embedded/embedded-database.js';
import { migrate } from './database/migrate.js';
import { shutDown } from './http/shutdown.js';
import { MetricsServer } from './metrics/metrics-server.js';

/** Where the embedded PostgreSQL and its secrets are kept. */
const DATA_FOLDER = resolve('.ordo');

/** The whole life of the process, until it is told to stop or cannot go on; ends the process. */
export async function run(toldToStop: Promise<unknown>): Promise<never> {
  try {
    await serve(toldToStop);
    process.exit(0);
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${error instanceof StartupError ? `ordo: ${error.message}` : stack}\n`);
    process.exit(1);
  }
}

async function serve(toldToStop: Promise<unknown>): Promise<void> {
  const given = readConfig();
  // The application is loaded while the database starts.
  const loading = import('./create-app.js');
  const embedded = given.DATABASE_URL === undefined ? await startDatabase() : undefined;
  try {
    const config = await complete(given, embedded);
    const { createApp } = await loading;
    const starting = createApp(config).then((app) => listen(app, config));
    // Told to stop while it still waits for its database, the process goes at once.
    const app = await Promise.race([starting, toldToStop.then(() => undefined)]);
    if (app === undefined) return;
    await toldToStop;
    await shutDown(app, config.SHUTDOWN_DELAY_MS, config.SHUTDOWN_TIMEOUT_MS);
  } finally {
    await embedded?.stop();
  }
}

async function startDatabase(): Promise<EmbeddedDatabase> {
  const database = await startEmbeddedDatabase(DATA_FOLDER, {
    log: (level, message) => {
      process.stderr.write(`${JSON.stringify({ level, time: new Date().toISOString(), msg: message })}\n`);
    },
  });
  try {
    await migrate(database.ownerUrl);
    await grantServiceRole(database);
  } catch (error) {
    await database.stop();
    throw error;
  }
  return database;
}

/** Fills in what the embedded database decides. */
async function complete(given: Config, embedded: EmbeddedDatabase | undefined): Promise<ServiceConfig> {
  const secret = given.ORDO_SECRET ?? (await keptSecret(DATA_FOLDER, 'ordo-secret'));
  return embedded === undefined
    ? { ...given, HOST: given.HOST ?? '::', DATABASE_URL: given.DATABASE_URL ?? '', ORDO_SECRET: secret }
    : { ...given, HOST: given.HOST ?? '127.0.0.1', DATABASE_URL: embedded.serviceUrl, ORDO_SECRET: secret };
}

async function listen(app: NestExpressApplication, config: ServiceConfig): Promise<NestExpressApplication> {
  await free('METRICS_PORT', config.METRICS_PORT, () =>
    app.get(MetricsServer).listen(config.METRICS_PORT, config.HOST),
  );
  await free('PORT', config.PORT, () => app.listen(config.PORT, config.HOST));
  const { port } = app.getHttpServer().address() as AddressInfo;
  const logger = await app.resolve(PinoLogger);
  logger.info(`Ordo listens on http://localhost:${port}; try it at http://localhost:${port}/docs`);
  return app;
}

/** Says in one line what to do about an address that cannot be listened on. */
async function free(variable: string, port: number, listenOn: () => Promise<unknown>): Promise<void> {
  try {
    await listenOn();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!/^E[A-Z]+$/.test(code)) throw error;
    const reason = code === 'EADDRINUSE' ? 'is taken by another program' : `cannot be listened on (${code})`;
    throw new StartupError(`Port ${port} ${reason}: set ${variable} to a free one`);
  }
}
