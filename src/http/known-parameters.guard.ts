import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import { unknownParameters } from './contract.pipe.js';
import { TakesQuery } from './operation.js';

/** Refuses a query on routes that take none; where one is taken its DTO decides. */
@Injectable()
export class KnownParametersGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): true {
    const names = Object.keys(context.switchToHttp().getRequest<Request>().query);
    if (names.length === 0) return true;
    const takesQuery = this.reflector.get<boolean | undefined>(TakesQuery.KEY, context.getHandler()) ?? true;
    if (!takesQuery) throw unknownParameters(names);
    return true;
  }
}
