import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import { LoggerModule } from 'nestjs-pino';
import { AuditController } from './audit/audit.controller.js';
import { AuditModule } from './audit/audit.module.js';
import type { ServiceConfig } from './config/config.js';
import { DatabaseModule } from './database/database.module.js';
import { HealthModule } from './health/health.module.js';
import { HttpModule } from './http/http.module.js';
import { JsonBody } from './http/json-body.middleware.js';
import { loggingOptions } from './http/logging.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { OrdersController } from './orders/orders.controller.js';
import { OrdersModule } from './orders/orders.module.js';
import { UsersController } from './users/users.controller.js';
import { UsersModule } from './users/users.module.js';

/** What the service is made of. */
@Module({
  imports: [DatabaseModule, HttpModule, MetricsModule, HealthModule, AuditModule, UsersModule, OrdersModule],
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
    consumer.apply(JsonBody).forRoutes(UsersController, OrdersController, AuditController);
  }
}
