import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import request, { type Test } from 'supertest';
import { readConfig, type ServiceConfig } from '../../src/config/config.js';
import { createApp } from '../../src/create-app.js';
import { expectConsistent } from './consistency.js';
import { expectContract } from './contract.js';
import { createDatabase, type TestDatabase } from './database.js';

type Method = 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete' | 'options';

/** The service over HTTP on its own database. */
export interface TestService {
  readonly url: string;
  readonly app: NestExpressApplication;
  readonly database: TestDatabase;
  /** A request whose answer is held against openapi.json. */
  send(method: Method, path: string): Test;
  /** Stops the service, checks that rows and events agree, and drops the database. */
  stop(): Promise<void>;
}

/**
 * Starts the service in this process, with the given settings instead of the defaults. On a `shared` database it is
 * one more replica, and `stop` leaves the database alone.
 */
export async function startService(
  settings: Partial<ServiceConfig> = {},
  shared?: TestDatabase,
): Promise<TestService> {
  const database = shared ?? (await createDatabase());
  const app = await createApp({
    ...readConfig({}),
    NODE_ENV: 'test',
    HOST: '127.0.0.1',
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    LOG_LEVEL: 'silent',
    ...settings,
  });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    app,
    database,
    send(method, path) {
      const test = request(url)[method](path);
      return test.expect((response) => {
        expectContract(method, path, response);
      });
    },
    async stop() {
      app.getHttpServer().closeAllConnections();
      await app.close();
      if (shared !== undefined) return;
      await expectConsistent(database);
      await database.drop();
    },
  };
}
