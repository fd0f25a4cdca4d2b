import { Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import { pendingMigrations } from '../database/data-source.js';
import { SqlState, sqlState } from '../database/sqlstate.js';
import { Drain } from '../http/drain.js';

/** The health indicators. What they say is public: they name no host, user or error of the database. */
@Injectable()
export class ServiceHealth implements OnApplicationBootstrap {
  private isMigrated = false;
  private lastReason: string | undefined;

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly dataSource: DataSource,
    private readonly drain: Drain,
    private readonly logger: PinoLogger,
  ) {}

  /** Tells of migrations that are pending as soon as the service starts. */
  async onApplicationBootstrap(): Promise<void> {
    await this.migrations();
  }

  /** Up when the database answers within two seconds. */
  async database(): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('database');
    try {
      await within(2_000, this.dataSource.query('SELECT 1'));
      if (this.isMigrated) this.lastReason = undefined;
      return indicator.up();
    } catch (error) {
      return indicator.down(this.tell('The database does not answer', error));
    }
  }

  /** Up once every migration of this build was found in the database. */
  async migrations(): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('migrations');
    if (this.isMigrated) return indicator.up();
    try {
      const pending = await within(2_000, pendingMigrations(this.dataSource));
      if (pending.length > 0)
        return indicator.down(
          this.tell(`Pending: ${pending.join(', ')}. Run the migrations (npm run migrate).`),
        );
      this.isMigrated = true;
      this.lastReason = undefined;
      return indicator.up();
    } catch (error) {
      const isForbidden = sqlState(error) === SqlState.insufficientPrivilege;
      const reason = isForbidden ? 'The login is no member of ordo_service' : 'The database does not answer';
      return indicator.down(this.tell(reason, error));
    }
  }

  /** Down from the moment the process is told to stop. */
  draining(): HealthIndicatorResult {
    const indicator = this.indicators.check('draining');
    return this.drain.isDraining ? indicator.down('Shutting down') : indicator.up();
  }

  /** Logs a reason for not being ready, once for as long as it lasts. */
  private tell(reason: string, error?: unknown): string {
    if (reason !== this.lastReason) this.logger.warn({ err: error }, `Not ready: ${reason}`);
    this.lastReason = reason;
    return reason;
  }
}

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error('too late'));
    }, milliseconds);
  });
  return Promise.race([work, limit]).finally(() => {
    clearTimeout(timer);
  });
}
