import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { Request } from 'express';
import { catchError, type Observable } from 'rxjs';
import { Problem } from '../problems/problem.js';
import { SecurityEvents } from './security-events.js';

/** Puts on the record what a use case refuses to a known caller; refusals of the guard never come this far. */
@Injectable()
export class RefusalInterceptor implements NestInterceptor {
  constructor(private readonly events: SecurityEvents) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      catchError(async (error: unknown) => {
        const request = context.switchToHttp().getRequest<Request>();
        if (error instanceof Problem && error.code === 'forbidden') await this.events.recordDenial(request);
        throw error;
      }),
    );
  }
}
