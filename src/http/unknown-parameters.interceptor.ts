import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Request } from 'express';
import type { Observable } from 'rxjs';
import { unknownParameters } from './contract.pipe.js';
import { TakesQuery } from './operation.js';

/** Refuses a query on routes that take none; where one is taken its DTO decides. */
@Injectable()
export class UnknownParametersInterceptor implements NestInterceptor {
  constructor(private readonly reflector: Reflector) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const takesQuery = this.reflector.get<boolean | undefined>(TakesQuery.KEY, context.getHandler()) ?? true;
    if (!takesQuery) {
      const names = Object.keys(context.switchToHttp().getRequest<Request>().query);
      if (names.length > 0) throw unknownParameters(names);
    }
    return next.handle();
  }
}
