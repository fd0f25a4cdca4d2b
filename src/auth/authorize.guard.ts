import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import { declaredAccess, describePermission, forbidden, reachOf, unauthenticated } from '../http/access.js';

/** Last of three guards: lets through who has the permission of the route, and says how far it reaches. */
@Injectable()
export class AuthorizeGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): true {
    const access = declaredAccess(this.reflector, context.getHandler(), context.getClass());
    if (access === 'public' || access === 'optional') return true;
    const request = context.switchToHttp().getRequest<Request>();
    const { caller } = request;
    if (caller === undefined) throw request.refusal ?? unauthenticated();
    // Routes that declare nothing do not get through the start; should one ever, nobody may use it.
    const reach = access && reachOf(caller, access);
    if (reach === undefined) {
      throw forbidden(access && `You may not do this. ${describePermission(access)}`);
    }
    request.access = { ...caller, reach };
    return true;
  }
}
