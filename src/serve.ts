import cluster from 'node:cluster';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Logger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from './config/config.js';
import { errorCode } from './config/private-files.js';
import { StartupError } from './config/startup-error.js';
import { FirstAdmin } from './auth/first-admin.js';
import { createApp } from './create-app.js';
import { refuseMightyLogin } from './database/login-rights.js';
import { isDatabaseUnavailable, sqlState } from './database/sqlstate.js';
import { shutDown } from './http/shutdown.js';
import { collectSooner } from './heap.js';
import { listensOn, take } from './listening.js';
import { MetricsServer } from './metrics/metrics-server.js';
import { tellPort } from './workers.js';

/** Serves until told to stop, then lets requests under way finish. Throws StartupError when a port is taken. */
export async function serve(config: ServiceConfig, toldToStop: Promise<unknown>): Promise<void> {
  const starting = createApp(config).then((app) => listen(app, config), explain);
  // Told to stop while it still waits for its database, the process goes at once.
  const app = await Promise.race([starting, toldToStop.then(() => undefined)]);
  if (app === undefined) return;
  await toldToStop;
  app.get(Logger).log('Told to stop: finishing the requests under way');
  await shutDown(app, config.SHUTDOWN_DELAY_MS, config.SHUTDOWN_TIMEOUT_MS);
}

async function listen(app: NestExpressApplication, config: ServiceConfig): Promise<NestExpressApplication> {
  if (config.NODE_ENV === 'production') await refuseMightyLogin(app.get(DataSource)).catch(explain);
  // Those of workers are told together, by the primary.
  if (!cluster.isWorker) {
    await take('METRICS_PORT', config.METRICS_PORT, () =>
      app.get(MetricsServer).listen(config.METRICS_PORT, config.HOST),
    );
  }
  const server = app.getHttpServer();
  // The system spreads connections over workers. With the primary handing them on, those would hang for ever that it hands
  // to one which dies.
  const where = { port: config.PORT, host: config.HOST, reusePort: cluster.isWorker };
  await take('PORT', config.PORT, () => once(server.listen(where), 'listening'));
  collectSooner();
  // Not before the ports are ours: a password that is made is told once.
  await app.get(FirstAdmin).ensure().catch(explain);
  const { port } = server.address() as AddressInfo;
  if (cluster.isWorker) tellPort(port);
  else app.get(Logger).log(listensOn(port));
  return app;
}

/** A database that cannot be used is told in one line. */
function explain(error: unknown): never {
  if (!isDatabaseUnavailable(error)) throw error;
  const reason = sqlState(error) ?? errorCode(error) ?? 'no answer';
  throw new StartupError(`The database that DATABASE_URL names cannot be used (${reason})`);
}
