import { type DynamicModule, Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { LoggerModule } from 'nestjs-pino';
import { AuditModule } from './audit/audit.module.js';
import { AuthModule } from './auth/auth.module.js';
import { AuthorizeGuard } from './auth/authorize.guard.js';
import { IdentifyGuard } from './auth/identify.guard.js';
import { RefusalFilter } from './auth/refusal.filter.js';
import type { ServiceConfig } from './config/config.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { HttpModule } from './http/http.module.js';
import { JsonBodyGuard } from './http/json-body.guard.js';
import { KnownParametersGuard } from './http/known-parameters.guard.js';
import { AcceptGuard } from './http/negotiation.js';
import { loggingOptions } from './http/logging.js';
import { ProblemFilter } from './http/problem.filter.js';
import { LimitsModule } from './limits/limits.module.js';
import { ThrottleGuard } from './limits/throttle.guard.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { OrdersModule } from './orders/orders.module.js';
import { PersonalDataModule } from './personal-data/personal-data.module.js';
import { UsersModule } from './users/users.module.js';

/** What the service is made of. */
@Module({
  // Express looks at one route after the other: those that are asked for most come first.
  imports: [
    OrdersModule,
    UsersModule,
    AuthModule,
    PersonalDataModule,
    AuditModule,
    HealthModule,
    DatabaseModule,
    HttpModule,
    MetricsModule,
    LimitsModule,
  ],
  // In this order: what is sent, is there an answer that they accept, who is calling, how often, may they, and do they
  // ask for what there is.
  providers: [
    { provide: APP_GUARD, useClass: JsonBodyGuard },
    { provide: APP_GUARD, useClass: AcceptGuard },
    { provide: APP_GUARD, useClass: IdentifyGuard },
    { provide: APP_GUARD, useClass: ThrottleGuard },
    { provide: APP_GUARD, useClass: AuthorizeGuard },
    { provide: APP_GUARD, useClass: KnownParametersGuard },
    // Nest asks the last of those that fit: refusals are recorded, then answered as all problems are.
    { provide: APP_FILTER, useClass: ProblemFilter },
    { provide: APP_FILTER, useClass: RefusalFilter },
  ],
})
export class AppModule {
  /** The service with this configuration. */
  static with(config: ServiceConfig): DynamicModule {
    return {
      module: AppModule,
      imports: [
        // Values come from `config` alone: it was read, checked and completed at the start.
        ConfigModule.forRoot({
          isGlobal: true,
          ignoreEnvFile: true,
          skipProcessEnv: true,
          load: [() => config],
        }),
        LoggerModule.forRoot(loggingOptions(config)),
      ],
    };
  }
}
