import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { PinoLogger } from 'nestjs-pino';
import type { ServiceConfig } from './config/config.js';
import { StartupError } from './config/startup-error.js';
import { createApp } from './create-app.js';
import { shutDown } from './http/shutdown.js';
import { MetricsServer } from './metrics/metrics-server.js';

/** Serves until told to stop, then lets requests under way finish. Throws StartupError when a port is taken. */
export async function serve(config: ServiceConfig, toldToStop: Promise<unknown>): Promise<void> {
  const starting = createApp(config).then((app) => listen(app, config));
  // Told to stop while it still waits for its database, the process goes at once.
  const app = await Promise.race([starting, toldToStop.then(() => undefined)]);
  if (app === undefined) return;
  await toldToStop;
  await shutDown(app, config.SHUTDOWN_DELAY_MS, config.SHUTDOWN_TIMEOUT_MS);
}

async function listen(app: NestExpressApplication, config: ServiceConfig): Promise<NestExpressApplication> {
  await take('METRICS_PORT', config.METRICS_PORT, () =>
    app.get(MetricsServer).listen(config.METRICS_PORT, config.HOST),
  );
  await take('PORT', config.PORT, () => app.listen(config.PORT, config.HOST));
  const { port } = app.getHttpServer().address() as AddressInfo;
  const logger = await app.resolve(PinoLogger);
  logger.info(`Ordo listens on http://localhost:${port}; try it at http://localhost:${port}/docs`);
  return app;
}

/** Listens; where that fails, says in one line what to do about it. */
async function take(variable: string, port: number, listenOn: () => Promise<unknown>): Promise<void> {
  try {
    await listenOn();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!/^E[A-Z]+$/.test(code)) throw error;
    const reason = code === 'EADDRINUSE' ? 'is taken by another program' : `cannot be listened on (${code})`;
    throw new StartupError(`Port ${port} ${reason}: set ${variable} to a free one`);
  }
}
