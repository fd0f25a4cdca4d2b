import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import { declaredAccess } from '../http/access.js';
import { Problem } from '../problems/problem.js';
import { Authenticator } from './authenticator.js';

/**
 * First of three guards: finds out who is calling, but refuses nobody yet, so that the next one can count those with
 * bad credentials by their address. Public routes do not look at credentials.
 */
@Injectable()
export class IdentifyGuard implements CanActivate {
  constructor(
    private readonly authenticator: Authenticator,
    private readonly reflector: Reflector,
  ) {}

  async canActivate(context: ExecutionContext): Promise<true> {
    if (declaredAccess(this.reflector, context.getHandler(), context.getClass()) === 'public') return true;
    const request = context.switchToHttp().getRequest<Request>();
    try {
      request.caller = await this.authenticator.identify(request.headers.authorization);
      request.actor = request.caller.actor;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
      request.refusal = error;
    }
    return true;
  }
}
