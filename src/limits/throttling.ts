import type { ExecutionContext } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { Reflector } from '@nestjs/core';
import type { ThrottlerModuleOptions, ThrottlerOptions } from '@nestjs/throttler';
import type { Request } from 'express';
import type { ServiceConfig } from '../config/config.js';
import { addressOf } from './address.js';
import { Costly, Unlimited } from './decorators.js';

const MINUTE = 60_000;

/** A costly route takes as many requests of one address in a minute as all routes together in a second. */
const COSTLY_SHARE = 60;

/** So many requests (`limit`) in `ttl` milliseconds, counted for each key. */
export interface Limit extends ThrottlerOptions {
  readonly name: string;
  readonly limit: number;
  readonly ttl: number;
  readonly skipIf: (route: ExecutionContext) => boolean;
  readonly keyOf: (context: ExecutionContext) => string;
}

export interface Throttling extends Exclude<ThrottlerModuleOptions, unknown[]> {
  readonly throttlers: Limit[];
}

/** The limits of requests: of a caller on all routes together, and of an address on each costly route. */
export function throttling(config: ConfigService<ServiceConfig, true>, reflector: Reflector): Throttling {
  const limit = config.get('RATE_LIMIT', { infer: true });
  const marksOf = (route: ExecutionContext) => [route.getHandler(), route.getClass()];
  const isUnlimited = (route: ExecutionContext) => reflector.getAllAndOverride(Unlimited, marksOf(route));
  const isCostly = (route: ExecutionContext) => reflector.getAllAndOverride(Costly, marksOf(route));
  return {
    throttlers: [
      {
        name: 'caller',
        limit,
        ttl: MINUTE,
        skipIf: isUnlimited,
        keyOf: (context) => callerOf(requestOf(context)),
      },
      {
        name: 'costly',
        limit: Math.max(1, Math.floor(limit / COSTLY_SHARE)),
        ttl: MINUTE,
        skipIf: (route) => isUnlimited(route) || !isCostly(route),
        keyOf: (context) =>
          `${addressOf(requestOf(context))} ${context.getClass().name}.${context.getHandler().name}`,
      },
    ],
  };
}

function requestOf(context: ExecutionContext): Request {
  return context.switchToHttp().getRequest<Request>();
}

/** Who is limited: the user or key that signed in, else the address. */
function callerOf(request: Request): string {
  const { type, id } = request.actor;
  return id === null ? addressOf(request) : `${type}:${id}`;
}
