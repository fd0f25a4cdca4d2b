import { Global, Module } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { ServiceConfig } from '../config/config.js';
import { dataSourceOptions, type PoolSettings } from './data-source.js';
import { ANSWER_PATIENCE_MS, impatientSocket } from './impatient-socket.js';
import { isDatabaseUnavailable, isLoginRefused } from './sqlstate.js';
import { KeyPurge } from './key-purge.js';
import { Snapshots } from './snapshot.js';
import { WritePath } from './write-path.js';

/** The pool of connections, the write path, and snapshots to read from. */
@Global()
@Module({
  imports: [
    TypeOrmModule.forRootAsync({
      inject: [ConfigService],
      useFactory: (config: ConfigService<ServiceConfig, true>) => ({
        ...dataSourceOptions(
          config.get('DATABASE_URL', { infer: true }),
          config.get('DATABASE_POOL_SIZE', { infer: true }),
        ),
        extra: {
          stream: impatientSocket(ANSWER_PATIENCE_MS),
          // The pool and the ORM listen, but neither does while one hands it to the other: an error that PostgreSQL sends
          // together with its greeting would end the process.
          onConnect: (connection) => connection.on('error', () => undefined),
          preparesStatements: config.get('PREPARED_STATEMENTS', { infer: true }) === 'on',
        } satisfies PoolSettings,
        autoLoadEntities: true,
        retryAttempts: 30,
        retryDelay: 1_000,
        toRetry: (error) => isDatabaseUnavailable(error) && !isLoginRefused(error),
      }),
    }),
  ],
  providers: [WritePath, Snapshots, KeyPurge],
  exports: [WritePath, Snapshots],
})
export class DatabaseModule {}
