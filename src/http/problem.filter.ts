import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common';
import type { Request, Response } from 'express';
import { isDatabaseUnavailable, SqlState, sqlState } from '../database/sqlstate.js';
import type { ProblemCode } from '../problems/catalogue.js';
import { notFound, Problem, unavailable } from '../problems/problem.js';
import { traceIdOf } from '../tracing/tracing.js';
import { allowedMethods } from './openapi-document.js';

/** Kinds of errors of body-parser (`type` of its http-errors). */
const BODY_ERRORS: Readonly<Record<string, ProblemCode>> = {
  'entity.too.large': 'body-too-large',
  'encoding.unsupported': 'unsupported-media-type',
  'request.aborted': 'malformed-request',
  'request.size.invalid': 'malformed-request',
};

const HTTP_ERRORS: Readonly<Record<number, ProblemCode>> = {
  400: 'malformed-request',
  413: 'body-too-large',
  415: 'unsupported-media-type',
  503: 'unavailable',
};

/** The one place where a failure becomes an answer: RFC 9457 for every error, whoever threw it. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void | Promise<void> {
    const request = host.switchToHttp().getRequest<Request>();
    const response = host.switchToHttp().getResponse<Response>();
    const problem = toProblem(error, request);
    if (problem.status >= 500) response.locals.error = error;
    answerProblem(problem, request, response);
  }
}

/** Answers with a problem; where another answer has begun, breaks it off. */
export function answerProblem(problem: Problem, request: Request, response: Response): void {
  if (response.headersSent) {
    // Too late for another answer: a broken stream must look broken.
    if (!response.writableEnded) response.destroy();
    return;
  }
  const text = JSON.stringify(problem.toBody(request.id, traceIdOf(request.span)));
  response.statusCode = problem.status;
  for (const [name, value] of Object.entries(problem.headers)) response.setHeader(name, value);
  response.setHeader('Content-Type', 'application/problem+json; charset=utf-8');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  response.end(text);
}

function toProblem(error: unknown, request: Request): Problem {
  if (error instanceof Problem) return error;
  if (isDatabaseUnavailable(error)) return unavailable('The database cannot be reached.');
  const state = sqlState(error);
  if (state === SqlState.lockNotAvailable) return unavailable('Others are changing the same data.');
  if (state === SqlState.queryCanceled) return new Problem('timeout', 'The database took too long.');
  if (!isDecodable(request.path)) return notFound();
  const status = statusOf(error);
  if (status === 404) return unknownRoute(request);
  const code = BODY_ERRORS[typeOf(error)] ?? HTTP_ERRORS[status];
  if (code === 'unavailable') return unavailable();
  if (code === 'body-too-large') return new Problem(code, 'A body may have 1 MB at most.');
  if (code !== undefined) return new Problem(code, 'The request could not be read.');
  return new Problem('internal', 'Something went wrong on our side.');
}

/** 405 when the path exists with other methods, else 404. */
function unknownRoute(request: Request): Problem {
  const methods = allowedMethods(request.path);
  if (methods.length === 0) return notFound();
  return new Problem('method-not-allowed', `${request.method} is not possible here.`, {
    headers: { Allow: methods.join(', ') },
  });
}

/** Whether the path's percent-encoding is UTF-8; where it is not, the router fails before there is a route. */
function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function statusOf(error: unknown): number {
  if (error instanceof HttpException) return error.getStatus();
  if (error instanceof Error && 'status' in error && typeof error.status === 'number') return error.status;
  return 500;
}

function typeOf(error: unknown): string {
  return error instanceof Error && 'type' in error && typeof error.type === 'string' ? error.type : '';
}
