import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { APP_GUARD } from '@nestjs/core';
import { LoggerModule } from 'nestjs-pino';
import { AuditController } from './audit/audit.controller.js';
import { AuditModule } from './audit/audit.module.js';
import { IntegrityController } from './audit/integrity/integrity.controller.js';
import { ApiKeysController } from './auth/api-keys/api-keys.controller.js';
import { AuthController } from './auth/auth.controller.js';
import { AuthModule } from './auth/auth.module.js';
import { AuthorizeGuard } from './auth/authorize.guard.js';
import { IdentifyGuard } from './auth/identify.guard.js';
import { KeySetController } from './auth/key-set.controller.js';
import { SessionsController } from './auth/sessions.controller.js';
import type { ServiceConfig } from './config/config.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { HttpModule } from './http/http.module.js';
import { JsonBody } from './http/json-body.middleware.js';
import { KnownParametersGuard } from './http/known-parameters.guard.js';
import { AcceptGuard } from './http/negotiation.js';
import { loggingOptions } from './http/logging.js';
import { LimitsModule } from './limits/limits.module.js';
import { ThrottleGuard } from './limits/throttle.guard.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { OrderBatchController } from './orders/batch.controller.js';
import { OrderExportController } from './orders/export.controller.js';
import { OrderCommandsController } from './orders/order-commands.controller.js';
import { OrdersController } from './orders/orders.controller.js';
import { OrdersModule } from './orders/orders.module.js';
import { PersonalDataController } from './personal-data/personal-data.controller.js';
import { PersonalDataModule } from './personal-data/personal-data.module.js';
import { UsersController } from './users/users.controller.js';
import { UsersModule } from './users/users.module.js';

/** What the service is made of. */
@Module({
  imports: [
    DatabaseModule,
    HttpModule,
    MetricsModule,
    LimitsModule,
    HealthModule,
    AuditModule,
    UsersModule,
    AuthModule,
    OrdersModule,
    PersonalDataModule,
  ],
  // In this order: is there an answer that they accept, who is calling, how often, may they, and do they ask for what
  // there is.
  providers: [
    { provide: APP_GUARD, useClass: AcceptGuard },
    { provide: APP_GUARD, useClass: IdentifyGuard },
    { provide: APP_GUARD, useClass: ThrottleGuard },
    { provide: APP_GUARD, useClass: AuthorizeGuard },
    { provide: APP_GUARD, useClass: KnownParametersGuard },
  ],
})
export class AppModule implements NestModule {
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

  configure(consumer: MiddlewareConsumer): void {
    consumer
      .apply(JsonBody)
      .forRoutes(
        AuthController,
        SessionsController,
        KeySetController,
        ApiKeysController,
        UsersController,
        PersonalDataController,
        OrdersController,
        OrderBatchController,
        OrderExportController,
        OrderCommandsController,
        AuditController,
        IntegrityController,
      );
  }
}
