import { Global, Module } from '@nestjs/common';
import { APP_FILTER, APP_INTERCEPTOR, APP_PIPE } from '@nestjs/core';
import { ContractPipe } from './contract.pipe.js';
import { Cursors } from './cursors.js';
import { Drain } from './drain.js';
import { IdempotencyKeyPipe } from './idempotency-key.js';
import { ProblemFilter } from './problem.filter.js';
import { ProblemsController } from './problems.controller.js';
import { ReplyInterceptor } from './reply.js';
import { RequestLog } from './request-log.middleware.js';
import { TimeoutInterceptor } from './timeout.interceptor.js';
import { UnknownParametersInterceptor } from './unknown-parameters.interceptor.js';

/** What every route shares. */
@Global()
@Module({
  controllers: [ProblemsController],
  providers: [
    Cursors,
    Drain,
    IdempotencyKeyPipe,
    RequestLog,
    { provide: APP_FILTER, useClass: ProblemFilter },
    { provide: APP_PIPE, useClass: ContractPipe },
    { provide: APP_INTERCEPTOR, useClass: TimeoutInterceptor },
    { provide: APP_INTERCEPTOR, useClass: UnknownParametersInterceptor },
    { provide: APP_INTERCEPTOR, useClass: ReplyInterceptor },
  ],
  exports: [Cursors, Drain, IdempotencyKeyPipe, RequestLog],
})
export class HttpModule {}
