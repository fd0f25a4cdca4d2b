import { Injectable } from '@nestjs/common';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import { Purge } from '../database/purge.js';

/** Forgets sessions once they have expired, ended or not: until then an old refresh token is told from a foreign one. */
@Injectable()
export class SessionPurge extends Purge {
  constructor(dataSource: DataSource, logger: PinoLogger) {
    super(dataSource, logger, 'sessions', 'expires_at < now()');
  }
}
