import { Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { DataSource } from 'typeorm';
import { pendingMigrations } from '../database/data-source.js';
import { Drain } from '../http/drain.js';

/** The health indicators. What they say is public: they name no host, user or error of the database. */
@Injectable()
export class ServiceHealth {
  private isMigrated = false;

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly dataSource: DataSource,
    private readonly drain: Drain,
  ) {}

  /** Up when the database answers within two seconds. */
  async database(): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('database');
    const answers = await within(2_000, this.dataSource.query('SELECT 1')).then(
      () => true,
      () => false,
    );
    return answers ? indicator.up() : indicator.down('The database does not answer');
  }

  /** Up once every migration of this build was found in the database. */
  async migrations(): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('migrations');
    if (this.isMigrated) return indicator.up();
    const pending = await within(2_000, pendingMigrations(this.dataSource)).catch(() => undefined);
    if (pending === undefined) return indicator.down('The database does not answer');
    if (pending.length > 0) return indicator.down(`Pending: ${pending.join(', ')}`);
    this.isMigrated = true;
    return indicator.up();
  }

  /** Down from the moment the process is told to stop. */
  draining(): HealthIndicatorResult {
    const indicator = this.indicators.check('draining');
    return this.drain.isDraining ? indicator.down('Shutting down') : indicator.up();
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
