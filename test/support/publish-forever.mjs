// A process that publishes checkpoints of the log until it is killed: of the database in its first argument, to the sink at
// the address in the second, with the keys that follow from the secret in the third. Says `ready` when it begins.
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import { Publisher } from '../../dist/src/audit/checkpoints/publisher.js';
import { LogIdentity } from '../../dist/src/audit/log-identity.js';
import { readConfig } from '../../dist/src/config/config.js';
import { dataSourceOptions } from '../../dist/src/database/data-source.js';
import { Metrics } from '../../dist/src/metrics/metrics.js';

const [databaseUrl, sink, secret] = process.argv.slice(2);
const config = new ConfigService({
  ...readConfig({}),
  ORDO_SECRET: secret,
  AUDIT_CHECKPOINT_SINK: { url: new URL(sink) },
});
const dataSource = await new DataSource(dataSourceOptions(databaseUrl, 1)).initialize();
const logger = new PinoLogger({ pinoHttp: { level: 'silent' } });
const publisher = new Publisher(dataSource, new LogIdentity(config), config, new Metrics(dataSource), logger);
console.log('ready');
for (;;) await publisher.turn(new AbortController().signal);
