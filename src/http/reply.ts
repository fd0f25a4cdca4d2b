import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { Request, Response } from 'express';
import { map, type Observable } from 'rxjs';
import { entityTag, namesTag } from './preconditions.js';

/** What a controller answers when there is more to say than the body. */
export class Reply<T> {
  constructor(
    readonly body: T,
    readonly about: {
      readonly replayed?: boolean;
      readonly location?: string;
      /** Tells apart what different callers get at the same path; part of the ETag. */
      readonly variant?: string | undefined;
      readonly headers?: Readonly<Record<string, string>>;
      /** `Cache-Control` of what everybody gets alike: it does not vary with who asks. */
      readonly shared?: string;
    } = {},
  ) {}
}

/**
 * Writes the headers that follow from an answer: ETag from a subject's version (and 304 when the caller has it),
 * Link from a page's cursor, and whatever else a `Reply` says.
 */
@Injectable()
export class ReplyInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const http = context.switchToHttp();
    return next.handle().pipe(map((answer: unknown) => send(http.getRequest(), http.getResponse(), answer)));
  }
}

function send(request: Request, response: Response, answer: unknown): unknown {
  const { body, about } = answer instanceof Reply ? (answer as Reply<unknown>) : new Reply(answer);
  if (about.location !== undefined) response.location(about.location);
  if (about.replayed === true) response.set('Idempotency-Replayed', 'true');
  if (about.headers !== undefined) response.set(about.headers);
  if (about.shared !== undefined) share(response, about.shared);
  if (typeof body !== 'object' || body === null) return body;
  if ('nextCursor' in body && typeof body.nextCursor === 'string') {
    response.set('Link', `<${nextPage(request, body.nextCursor)}>; rel="next"`);
  }
  if ('version' in body && typeof body.version === 'number') {
    const tag = entityTag(body.version, about.variant);
    response.set('ETag', tag);
    if (isRead(request) && namesTag(request.get('if-none-match'), tag)) {
      response.status(304);
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
