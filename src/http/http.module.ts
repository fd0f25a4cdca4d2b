import { Global, Module } from '@nestjs/common';
import { APP_PIPE } from '@nestjs/core';
import { ContractPipe } from './contract.pipe.js';
import { Cursors } from './cursors.js';
import { Drain } from './drain.js';
import { IdempotencyKeyPipe } from './idempotency-key.js';
import { Overload } from './overload.js';
import { ProblemsController } from './problems.controller.js';
import { RequestLog } from './request-log.middleware.js';
import { TimeLimit } from './time-limit.js';

/** What every route shares. */
@Global()
@Module({
  controllers: [ProblemsController],
  providers: [
    Cursors,
    Drain,
    IdempotencyKeyPipe,
    Overload,
    RequestLog,
    TimeLimit,
    { provide: APP_PIPE, useClass: ContractPipe },
  ],
  exports: [Cursors, Drain, IdempotencyKeyPipe, Overload, RequestLog, TimeLimit],
})
export class HttpModule {}
