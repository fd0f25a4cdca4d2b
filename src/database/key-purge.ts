import { Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../config/config.js';

const BATCH = 1_000;
const PAUSE_MS = 15 * 60_000;

/** Forgets idempotency keys once they are older than `IDEMPOTENCY_TTL_HOURS`, a thousand at a time. */
@Injectable()
export class KeyPurge implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: ConfigService<ServiceConfig, true>,
    private readonly logger: PinoLogger,
  ) {
    this.logger.setContext(KeyPurge.name);
  }

  onApplicationBootstrap(): void {
    const purge = () => {
      this.purge().catch((error: unknown) => {
        this.logger.warn({ err: error }, 'Old idempotency keys were not purged');
      });
    };
    purge();
    this.timer = setInterval(purge, PAUSE_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  /** Deletes all keys that are past their time and returns how many they were. */
  async purge(): Promise<number> {
    const hours = this.config.get('IDEMPOTENCY_TTL_HOURS', { infer: true });
    for (let purged = 0; ;) {
      const [, count] = await this.dataSource.query<[unknown, number]>(
        `DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
           SELECT ctid FROM idempotency_keys
             WHERE created_at < now() - make_interval(hours => $1)
             LIMIT ${BATCH}))`,
        [hours],
      );
      purged += count;
      if (count < BATCH) return purged;
    }
  }
}
