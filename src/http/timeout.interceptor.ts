import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import type { Response } from 'express';
import { mergeMap, NEVER, type Observable, race, throwError, timer } from 'rxjs';
import type { ServiceConfig } from '../config/config.js';
import { Problem } from '../problems/problem.js';

/**
 * Answers 504 when nothing was answered within `REQUEST_TIMEOUT_MS`; an answer that has begun may take its time. Work
 * under way is not cancelled: others may share it.
 */
@Injectable()
export class TimeoutInterceptor implements NestInterceptor {
  private readonly limit: number;

  constructor(config: ConfigService<ServiceConfig, true>) {
    this.limit = config.get('REQUEST_TIMEOUT_MS', { infer: true });
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const response = context.switchToHttp().getResponse<Response>();
    const tooLate = () => throwError(() => new Problem('timeout', 'The request took too long.'));
    const limit = timer(this.limit).pipe(mergeMap(() => (response.headersSent ? NEVER : tooLate())));
    return race(next.handle(), limit);
  }
}
