import { StreamableFile } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Request, Response } from 'express';
import { entityTag, namesTag } from './preconditions.js';
import { Reply } from './reply.js';

type Handler = (request: Request, response: Response, next?: unknown) => unknown;

/** The methods of routes; HEAD is served by those of GET. */
const VERBS = ['get', 'post', 'put', 'patch', 'delete'] as const;

/**
 * Writes what controllers return. The headers follow from the answer: ETag from a subject's version (and 304 when the
 * caller has it), Link from a page's cursor, and what a `Reply` says. That is done here and not
 * in an interceptor because where there is none Nest runs no observables.
 */
export class AnsweringAdapter extends ExpressAdapter {
  private done: (response: Response) => void = () => undefined;

  constructor() {
    super();
    for (const verb of VERBS) {
      Object.assign(this, {
        [verb]: (path: string, handler: Handler): unknown => super[verb](path, this.watched(handler)),
      });
    }
  }

  /**
   * Sets what is called each time a route has done its work. That can be before the client has all of the answer, and
   * long after the client has gone.
   */
  whenDone(done: (response: Response) => void): void {
    this.done = done;
  }

  private watched(handler: Handler): Handler {
    return async (request, response, next) => {
      try {
        await handler(request, response, next);
      } finally {
        this.done(response);
      }
    };
  }

  override reply(response: Response, answer: unknown, status?: number): unknown {
    // It took so long that the caller was told to come again.
    if (response.headersSent) return undefined;
    if (status !== undefined) response.statusCode = status;
    const body = describe(response, answer);
    if (body instanceof StreamableFile) return super.reply(response, body, status) as unknown;
    if (body === undefined || typeof body === 'string') return response.send(body);
    const text = JSON.stringify(body);
    response.setHeader('Content-Type', 'application/json; charset=utf-8');
    response.setHeader('Content-Length', Buffer.byteLength(text));
    // Of an answer to HEAD Node.js sends the headers alone.
    return response.end(text);
  }
}

/** Sets the headers that follow from an answer and returns its body, undefined where none is sent. */
function describe(response: Response, answer: unknown): unknown {
  const { body, about } = answer instanceof Reply ? (answer as Reply<unknown>) : new Reply(answer);
  if (about.location !== undefined) response.location(about.location);
  if (about.replayed === true) response.setHeader('Idempotency-Replayed', 'true');
  if (about.headers !== undefined) response.set(about.headers);
  if (about.shared !== undefined) share(response, about.shared);
  if (typeof body !== 'object' || body === null) return body ?? undefined;
  const { req: request } = response;
  if ('nextCursor' in body && typeof body.nextCursor === 'string') {
    response.setHeader('Link', `<${nextPage(request, body.nextCursor)}>; rel="next"`);
  }
  if ('version' in body && typeof body.version === 'number') {
    const tag = entityTag(body.version, about.variant);
    response.setHeader('ETag', tag);
    if (isRead(request) && namesTag(request.get('if-none-match'), tag)) {
      response.statusCode = 304;
      return undefined;
    }
  }
  return body;
}

function share(response: Response, cacheControl: string): void {
  response.set('Cache-Control', cacheControl);
  const others = (response.get('Vary') ?? '')
    .split(/\s*,\s*/)
    .filter((name) => name !== '' && name.toLowerCase() !== 'authorization');
  response.removeHeader('Vary');
  if (others.length > 0) response.vary(others.join(', '));
}

function isRead(request: Request): boolean {
  return request.method === 'GET' || request.method === 'HEAD';
}

function nextPage(request: Request, cursor: string): string {
  const url = new URL(request.originalUrl, 'http://localhost');
  url.searchParams.set('cursor', cursor);
  return `${url.pathname}${url.search}`;
}
