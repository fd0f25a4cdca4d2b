import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type DynamicModule, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler';
import { TypeOrmModule } from '@nestjs/typeorm';
import { LoggerModule } from 'nestjs-pino';
import type { readEnvironment } from '../rules/environment.js';
import { AuthController } from './auth.controller.js';
import { AuthGuard } from './auth.guard.js';
import { AuthService } from './auth.service.js';
import { AuditEvent, IdempotencyKey, Order, OrderLine, Password, Session, User } from './entities.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';
import { ENVIRONMENT } from './request.js';
import { UsersController } from './users.controller.js';

const entities = [User, Password, Session, Order, OrderLine, AuditEvent, IdempotencyKey];

@Module({
  controllers: [AuthController, UsersController, OrdersController],
  providers: [
    AuthService,
    OrdersService,
    { provide: APP_GUARD, useClass: ThrottlerGuard },
    { provide: APP_GUARD, useClass: AuthGuard },
  ],
})
export class AppModule {
  static with(environment: ReturnType<typeof readEnvironment>): DynamicModule {
    return {
      module: AppModule,
      global: true,
      imports: [
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: environment.databaseUrl,
          entities,
          // With a join, `findOne` and `take` first look for the ids of their rows in a query around the whole join.
          relationLoadStrategy: 'query',
          // Amounts stay below 2^53.
          parseInt8: true,
        }),
        TypeOrmModule.forFeature(entities),
        ThrottlerModule.forRoot([{ ttl: 60_000, limit: environment.rateLimit }]),
        LoggerModule.forRoot({
          pinoHttp: {
            level: environment.logLevel,
            genReqId: () => randomUUID(),
            // By default a line holds all headers; this one says as much as those of the others.
            serializers: {
              req: ({ method, url }: IncomingMessage) => ({ method, url }),
              res: ({ statusCode }: ServerResponse) => ({ statusCode }),
            },
          },
        }),
      ],
      providers: [{ provide: ENVIRONMENT, useValue: environment }],
    };
  }
}
