import { randomUUID } from 'node:crypto';
import compress from '@fastify/compress';
import helmet from '@fastify/helmet';
import jwt from '@fastify/jwt';
import rateLimit from '@fastify/rate-limit';
import fastify, { type FastifyInstance } from 'fastify';
import {
  AUDIENCE,
  type Caller,
  ISSUER,
  type readEnvironment,
  TOKEN_SECONDS,
  TOKEN_TYPE,
} from '../rules/environment.js';
import { createPool } from './database.js';
import { orderRoutes } from './orders.routes.js';
import { signInRoutes } from './sign-in.routes.js';
import { userRoutes } from './users.routes.js';

declare module '@fastify/jwt' {
  interface FastifyJWT {
    user: Caller;
  }
}

export async function buildApp(environment: ReturnType<typeof readEnvironment>): Promise<FastifyInstance> {
  const app = fastify({
    // One line per request, below, instead of the two that are built in.
    logger: { level: environment.logLevel },
    disableRequestLogging: true,
    genReqId: () => randomUUID(),
    ajv: { customOptions: { removeAdditional: false } },
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request;
    request.log.info(
      { method, route: routeOptions.url, status: reply.statusCode, durationMs: reply.elapsedTime },
      'request completed',
    );
  });

  await app.register(helmet);
  await app.register(compress);
  await app.register(rateLimit, { max: environment.rateLimit, timeWindow: '1 minute' });
  await app.register(jwt, {
    secret: {
      private: environment.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      public: environment.publicKey.export({ type: 'spki', format: 'pem' }),
    },
    sign: {
      algorithm: 'EdDSA',
      iss: ISSUER,
      aud: AUDIENCE,
      expiresIn: TOKEN_SECONDS * 1_000,
      header: { alg: 'EdDSA', typ: TOKEN_TYPE },
    },
    verify: { algorithms: ['EdDSA'], allowedIss: ISSUER, allowedAud: AUDIENCE, checkTyp: TOKEN_TYPE },
  });

  const pool = createPool(environment.databaseUrl);
  app.addHook('onClose', () => pool.end());
  await app.register(signInRoutes, { pool });
  await app.register(async (signedIn) => {
    signedIn.addHook('onRequest', (request) => request.jwtVerify());
    await signedIn.register(userRoutes, { pool });
    await signedIn.register(orderRoutes, { pool, secret: environment.secret });
  });
  return app;
}
