import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { type Observable, throwError, timeout } from 'rxjs';
import type { ServiceConfig } from '../config/config.js';
import { Problem } from '../problems/problem.js';

/** Answers 504 when a request takes longer than `REQUEST_TIMEOUT_MS`. Work under way is not cancelled: others may share it. */
@Injectable()
export class TimeoutInterceptor implements NestInterceptor {
  private readonly limit: number;

  constructor(config: ConfigService<ServiceConfig, true>) {
    this.limit = config.get('REQUEST_TIMEOUT_MS', { infer: true });
  }

  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      timeout({
        first: this.limit,
        with: () => throwError(() => new Problem('timeout', 'The request took too long.')),
      }),
    );
  }
}
