import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import type { DataSource } from 'typeorm';
import { Publisher } from '../../src/audit/checkpoints/publisher.js';
import { LogIdentity } from '../../src/audit/log-identity.js';
import type { ServiceConfig } from '../../src/config/config.js';
import { Metrics } from '../../src/metrics/metrics.js';
import type { TestDatabase } from './database.js';
import { testConfig } from './service.js';

/** What a process that has just started publishes with; it does so only when told. */
export function createPublisher(
  database: TestDatabase,
  dataSource: DataSource,
  settings: Partial<ServiceConfig> = {},
): Publisher {
  const config = new ConfigService<ServiceConfig, true>({ ...testConfig(database), ...settings });
  const logger = new PinoLogger({ pinoHttp: { level: 'silent' } });
  return new Publisher(dataSource, new LogIdentity(config), config, new Metrics(dataSource), logger);
}
