import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import request, { type Test } from 'supertest';
import { readConfig, type ServiceConfig } from '../../src/config/config.js';
import { FirstAdmin } from '../../src/auth/first-admin.js';
import { createApp } from '../../src/create-app.js';
import { expectConsistent } from './consistency.js';
import { expectContract } from './contract.js';
import { createDatabase, type TestDatabase } from './database.js';

/** The first admin of every service under test. */
export const ADMIN_EMAIL = 'admin@example.com';
export const ADMIN_PASSWORD = 'the admin of the tests';

type Method = 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete' | 'options';

/** The service over HTTP on its own database. */
export interface TestService {
  readonly url: string;
  readonly app: NestExpressApplication;
  readonly database: TestDatabase;
  /** A request of the first admin, whose answer is held against openapi.json. */
  send(method: Method, path: string): Test;
  /** The same from whoever has this access token or API key, or without one from nobody. */
  as(token: string | undefined): Pick<TestService, 'send'>;
  /** The access token of the first admin. */
  readonly adminToken: string;
  /** Stops the service, checks that rows and events agree, and drops the database. */
  stop(): Promise<void>;
}

/** How the service is configured under test, unless a test says otherwise. */
export function testConfig(database: TestDatabase): ServiceConfig {
  return {
    ...readConfig({}),
    NODE_ENV: 'test',
    HOST: '127.0.0.1',
    DATABASE_URL: database.serviceUrl,
    ORDO_SECRET: 'a secret of the tests, 32 characters or more',
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    RATE_LIMIT: 1_000_000,
    LOG_LEVEL: 'silent',
    // A test that looks at the log seals when it says so; the others count connections and cut transactions.
    AUDIT_SEALER: 'off',
  };
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
  const app = await createApp({ ...testConfig(database), ...settings });
  await app.get(FirstAdmin).ensure();
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const agent = request(url);
  const sendAs = (token: string | undefined, method: Method, path: string) => {
    const test = agent[method](path).expect((response) => {
      expectContract(method, path, response);
    });
    return token === undefined ? test : test.set('Authorization', `Bearer ${token}`);
  };
  const adminToken = await signIn((path) => sendAs(undefined, 'post', path));
  return {
    url,
    app,
    database,
    adminToken,
    send: (method, path) => sendAs(adminToken, method, path),
    as: (token) => ({ send: (method, path) => sendAs(token, method, path) }),
    async stop() {
      app.getHttpServer().closeAllConnections();
      await app.close();
      if (shared !== undefined) return;
      await expectConsistent(database);
      await database.drop();
    },
  };
}

async function signIn(post: (path: string) => Test): Promise<string> {
  const credentials = { email: ADMIN_EMAIL, password: ADMIN_PASSWORD };
  const response = await post('/v1/auth/login').send(credentials).expect(200);
  return (response.body as { accessToken: string }).accessToken;
}
