import { Injectable, type NestMiddleware } from '@nestjs/common';
import type { NextFunction, Request, Response } from 'express';
import { PinoLogger } from 'nestjs-pino';
import { validate as isUuid } from 'uuid';
import { newId } from '../database/new-id.js';
import { Metrics } from '../metrics/metrics.js';
import { traceIdOf } from '../tracing/tracing.js';
import { Drain } from './drain.js';
import { ANONYMOUS } from './origin.js';
import { routeOf } from './route.js';

/** As nginx counts a request whose client went away before the answer was complete. */
const CLIENT_CLOSED_REQUEST = 499;
/** An answer that had begun well and that the service could not bring to its end. */
const BROKEN_OFF = 500;

/**
 * First in the chain: gives each request its id and its actor, and writes one log line and one measurement when it is
 * over, however it ends. No URL, body, header or address: they may hold personal data.
 */
@Injectable()
export class RequestLog implements NestMiddleware {
  constructor(
    private readonly logger: PinoLogger,
    private readonly metrics: Metrics,
    private readonly drain: Drain,
  ) {}

  /** Gives a request its id, and its answer the headers that every answer has. */
  introduce(request: Request, response: Response): void {
    request.id = requestIdOf(request);
    response.setHeader('X-Request-Id', request.id);
    if (this.drain.isDraining) response.setHeader('Connection', 'close');
  }

  /** Follows a request that was introduced to its end. */
  use(request: Request, response: Response, next: NextFunction): void {
    const start = performance.now();
    request.actor = ANONYMOUS;
    this.metrics.requestsInFlight.inc();
    response.once('close', () => this.finish(request, response, performance.now() - start));
    next();
  }

  private finish(request: Request, response: Response, milliseconds: number): void {
    const aborted = !response.writableFinished;
    const failed = response.locals.error !== undefined;
    const line = {
      requestId: request.id,
      ...(request.span && { traceId: traceIdOf(request.span) }),
      method: request.method,
      route: routeOf(request),
      status: aborted ? (failed ? BROKEN_OFF : CLIENT_CLOSED_REQUEST) : response.statusCode,
      durationMs: Math.round(milliseconds * 10) / 10,
      actor: request.actor,
      ...(aborted && { aborted }),
      ...(failed && { err: response.locals.error as unknown }),
    };
    this.metrics.requestsInFlight.dec();
    this.metrics.requestDuration
      .labels({ method: line.method, route: line.route, status: line.status })
      .observe(milliseconds / 1_000);
    if (line.status >= 500) this.logger.error(line, 'request');
    else if (line.route.startsWith('/health/')) this.logger.debug(line, 'request');
    else this.logger.info(line, 'request');
  }
}

/** The id that the client gives its request, or else a new one. */
function requestIdOf(request: Request): string {
  const given = request.get('x-request-id');
  return given !== undefined && isUuid(given) ? given.toLowerCase() : newId();
}
