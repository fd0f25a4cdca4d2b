import type { Server } from 'node:http';
import { parse } from 'node:querystring';
import { ConsoleLogger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import compression from 'compression';
import type { NextFunction, Request, Response } from 'express';
import helmet from 'helmet';
import { Logger } from 'nestjs-pino';
import { AppModule } from './app.module.js';
import type { ServiceConfig } from './config/config.js';
import { AnsweringAdapter } from './http/answering-adapter.js';
import { answerClientErrors } from './http/client-errors.js';
import { serveDocs } from './http/docs-page.js';
import { Overload } from './http/overload.js';
import { RequestLog } from './http/request-log.middleware.js';
import { traceRequest } from './http/request-span.js';
import { NDJSON } from './http/stream.js';
import { TimeLimit } from './http/time-limit.js';

/** The service, ready to listen. Throws when the database stays out of reach for half a minute. */
export async function createApp(config: ServiceConfig): Promise<NestExpressApplication> {
  const adapter = new AnsweringAdapter();
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(config), adapter, {
    bodyParser: false,
    abortOnError: false,
    // Until the service's own logger is in place; the list of routes and modules is no news.
    logger: new ConsoleLogger({ json: true, colors: false, logLevels: ['warn', 'error', 'fatal'] }),
  });
  // Entity tags are versions, made by the service; Express would hash every body.
  app.set('etag', false);
  app.set('trust proxy', config.TRUST_PROXY);
  // Without its limit of 1,000 the parser drops no parameter: one that is unknown must be refused.
  app.set('query parser', (query?: string) => parse(query ?? '', '&', '=', { maxKeys: 0 }));

  const [overload, requestLog, timeLimit] = [app.get(Overload), app.get(RequestLog), app.get(TimeLimit)];
  adapter.whenDone((response) => overload.leave(response));
  // A page served over plain HTTP must not send its requests elsewhere.
  const secure = helmet({ contentSecurityPolicy: { directives: { 'upgrade-insecure-requests': null } } });
  app.use((request: Request, response: Response, next: NextFunction) => {
    requestLog.introduce(request, response);
    response.locals.isTooMuch = overload.isTooMuch(request);
    if (response.locals.isTooMuch) {
      next();
      return;
    }
    requestLog.use(request, response, () => {
      traceRequest(request, response, () => {
        timeLimit.use(request, response, () => secure(request, response, next));
      });
    });
  });
  if (config.CORS_ORIGINS.length > 0) {
    app.enableCors({
      origin: [...config.CORS_ORIGINS],
      exposedHeaders: [
        'Content-Disposition',
        'ETag',
        'Link',
        'Location',
        'Retry-After',
        'Idempotency-Replayed',
        'RateLimit',
        'RateLimit-Policy',
        'WWW-Authenticate',
        'X-Request-Id',
      ],
      maxAge: 3_600,
    });
  }
  // Not before CORS: pages of allowed origins are to read that they are asked to come again, and when. Preflights are
  // answered by then, as cheaply as they would be refused.
  app.use((request: Request, response: Response, next: NextFunction) => {
    if (response.locals.isTooMuch) overload.refuse(request, response);
    else next();
  });
  app.use(compression({ filter: isCompressible }));
  app.use('/v1', (request: Request, response: Response, next: NextFunction) => {
    const isSignIn = request.path.toLowerCase().startsWith('/auth/');
    response.setHeader('Cache-Control', isSignIn ? 'no-store' : 'private, no-cache');
    response.vary('Authorization');
    next();
  });

  serveDocs(app);
  const express = app.getHttpAdapter().getInstance();
  express.get('/', (_request, response) => {
    response.redirect('/docs');
  });

  tuneServer(app.getHttpServer(), config);
  await app.init();
  app.useLogger(app.get(Logger));
  return app;
}

/** What the package knows to be worth it, and NDJSON, which it does not know. */
function isCompressible(request: Request, response: Response): boolean {
  return response.get('Content-Type') === NDJSON || compression.filter(request, response);
}

function tuneServer(server: Server, config: ServiceConfig): void {
  // Longer than load balancers keep idle connections (60 s as a rule): the side that sends closes first.
  server.keepAliveTimeout = 65_000;
  server.headersTimeout = 66_000;
  server.requestTimeout = Math.max(config.REQUEST_TIMEOUT_MS, 1_000);
  answerClientErrors(server);
}
