import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { Actor, Origin } from '../database/event.js';

declare module 'express-serve-static-core' {
  interface Request {
    /** UUID of the request, in every answer as X-Request-Id. */
    id: string;
    /** Who is calling; everybody is anonymous until somebody says otherwise. */
    actor: Actor;
  }
}

export const ANONYMOUS: Actor = { type: 'anonymous', id: null };

/** Who asks, in which request: what every event records. */
export const RequestOrigin = createParamDecorator((_: unknown, context: ExecutionContext): Origin => {
  const request = context.switchToHttp().getRequest<Request>();
  return { actor: request.actor, requestId: request.id };
});
