import { type CanActivate, createParamDecorator, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request, Response } from 'express';
import { Problem } from '../problems/problem.js';
import { nameHandler } from './request-span.js';

/** What an answer can be beside JSON. */
export type MediaType = 'text/plain' | 'application/octet-stream';

/** The media types of a route's answers, where JSON is not the only one; the first is for whoever has no preference. */
export const Produces = Reflector.createDecorator<readonly string[]>();

/** Refuses callers who accept nothing that the route has (406), before they are asked who they are. */
@Injectable()
export class AcceptGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    nameHandler(context);
    const types = this.reflector.get<readonly string[] | undefined>(Produces.KEY, context.getHandler());
    const request = context.switchToHttp().getRequest<Request>();
    if (types === undefined) return true;
    if (types.length > 1) context.switchToHttp().getResponse<Response>().vary('Accept');
    if (request.accepts([...types]) === false) {
      throw new Problem('not-acceptable', `The answer is ${types.join(' or ')}.`);
    }
    return true;
  }
}

/** The one of these media types that the caller likes best. */
export const Preferred = createParamDecorator((types: readonly string[], context: ExecutionContext) =>
  context
    .switchToHttp()
    .getRequest<Request>()
    .accepts([...types]),
);
