import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { Caller, readEnvironment } from '../rules/environment.js';

/** Injects what the process was told by its environment. */
export const ENVIRONMENT = Symbol('environment');
export type Environment = ReturnType<typeof readEnvironment>;

/** A request whose access token the guard has verified. */
export interface SignedInRequest extends Request {
  id: string;
  user: Caller;
}

export const CurrentUser = createParamDecorator(
  (_: unknown, context: ExecutionContext): Caller =>
    context.switchToHttp().getRequest<SignedInRequest>().user,
);
