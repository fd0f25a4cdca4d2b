import type { ExecutionContext } from '@nestjs/common';
import type { Span } from '@opentelemetry/api';
import type { NextFunction, Request, Response } from 'express';
import { activeTracing, currentSpan, tellFailure } from '../tracing/tracing.js';
import { routeOf, UNMATCHED } from './route.js';

declare module 'express-serve-static-core' {
  interface Request {
    /** The span of the request, while this process traces. */
    span?: Span;
  }
}

/**
 * Gives a request its span, in the trace of the caller who has one, and runs the rest of the chain for it. Named by the
 * route's pattern; no URL, header, body or address. Probes have none.
 */
export function traceRequest(request: Request, response: Response, next: NextFunction): void {
  const tracing = activeTracing();
  if (tracing === undefined || request.path.startsWith('/health/')) {
    next();
    return;
  }
  const { method } = request;
  const span = tracing.begin(
    {
      name: method,
      kind: 'server',
      attributes: { 'http.request.method': method, 'ordo.request_id': request.id },
    },
    request,
  );
  request.span = span;
  response.once('close', () => finish(span, request, response));
  tracing.within(span, next);
}

/** Tells in the span of a request which method of which controller answers it. */
export function nameHandler(context: ExecutionContext): void {
  currentSpan()?.setAttribute(
    'code.function.name',
    `${context.getClass().name}.${context.getHandler().name}`,
  );
}

function finish(span: Span, request: Request, response: Response): void {
  const route = routeOf(request);
  if (route !== UNMATCHED) {
    span.updateName(`${request.method} ${route}`);
    span.setAttribute('http.route', route);
  }
  if (response.headersSent) span.setAttribute('http.response.status_code', response.statusCode);
  if (response.locals.error !== undefined) tellFailure(span, response.locals.error);
  else if (!response.writableFinished) span.setAttribute('error.type', 'aborted');
  span.end();
}
