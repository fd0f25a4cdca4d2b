import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../config/config.js';
import { Purge } from './purge.js';

/** Forgets idempotency keys once they are older than `IDEMPOTENCY_TTL_HOURS`. */
@Injectable()
export class KeyPurge extends Purge {
  constructor(dataSource: DataSource, config: ConfigService<ServiceConfig, true>, logger: PinoLogger) {
    super(dataSource, logger, 'idempotency_keys', 'created_at < now() - make_interval(hours => $1)', [
      config.get('IDEMPOTENCY_TTL_HOURS', { infer: true }),
    ]);
  }
}
