import type { Server } from 'node:http';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { INestApplication } from '@nestjs/common';
import { Drain } from './drain.js';
import { Overload } from './overload.js';

const SWEEP_MS = 100;

/**
 * Stops without dropping a request: not ready any more but serving for `delayMs`, then no new connections, idle ones
 * swept away, and at most `timeoutMs` for requests under way. The application is closed at the end.
 */
export async function shutDown(app: INestApplication, delayMs: number, timeoutMs: number): Promise<void> {
  app.get(Drain).begin();
  // What connections that rest were sent is read before they count as idle.
  app.get(Overload).wakeAll();
  await delay(delayMs);
  await nextTurn();
  const server = app.getHttpServer() as Server;
  const closed = new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  const sweep = setInterval(() => {
    server.closeIdleConnections();
  }, SWEEP_MS);
  const hardStop = setTimeout(() => {
    server.closeAllConnections();
  }, timeoutMs);
  await closed;
  clearInterval(sweep);
  clearTimeout(hardStop);
  await app.close();
}
