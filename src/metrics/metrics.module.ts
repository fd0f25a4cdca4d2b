import { Global, Module } from '@nestjs/common';
import { Metrics } from './metrics.js';
import { MetricsServer } from './metrics-server.js';

const server = {
  provide: MetricsServer,
  useFactory: ({ registry }: Metrics) => new MetricsServer(registry),
  inject: [Metrics],
};

@Global()
@Module({ providers: [Metrics, server], exports: [Metrics] })
export class MetricsModule {}
