import { Injectable } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { PinoLogger } from 'nestjs-pino';
import { DataSource } from 'typeorm';
import type { ServiceConfig } from '../../config/config.js';
import { isRetryable, SqlState, sqlState } from '../../database/sqlstate.js';
import { Metrics } from '../../metrics/metrics.js';
import { traced } from '../../tracing/tracing.js';
import { BackgroundWork } from '../background-work.js';
import { type Backlog, readBacklog } from './backlog.js';
import { BATCH, seal } from './seal.js';

const PAUSE_MS = 250;
/** Also a look that had to wait for a connection of the pool takes long: that says nothing about the next one. */
const LONGEST_PAUSE_MS = 5_000;

/** Gives every event its leaf, soon after it was committed. Any process may; of several that try, one does. */
@Injectable()
export class Sealer extends BackgroundWork {
  private backlog: Backlog | undefined;
  private seenAt = 0;
  private readonly countSeal: () => void;
  private readonly countRival: () => void;

  constructor(
    private readonly dataSource: DataSource,
    config: ConfigService<ServiceConfig, true>,
    metrics: Metrics,
    logger: PinoLogger,
  ) {
    super(logger, 'Sealing the audit log', config.get('AUDIT_SEALER', { infer: true }) === 'on');
    this.countSeal = metrics.count('audit_log_seals_total', 'Batches of events that this process sealed');
    this.countRival = metrics.count(
      'audit_log_rivals_total',
      'Times that another process was sealing or had been faster',
    );
    const watch = (name: string, help: string, read: (backlog: Backlog) => number) => {
      metrics.watch(`audit_log_${name}`, help, () => (this.backlog ? read(this.backlog) : NaN), 'max');
    };
    watch('unsealed_events', 'Events without a leaf, at most', ({ unsealed }) => unsealed);
    watch('oldest_unsealed_seconds', 'Age of the oldest event without a leaf', () => this.oldestSeconds);
    watch('leaves', 'Leaves of the log', ({ leaves }) => leaves);
    watch('gaps', 'Ranges of sequence numbers whose events may still turn up', ({ gaps }) => gaps);
  }

  /** What was unsealed when it last looked; undefined before that. */
  get unsealed(): { events: number; oldestSeconds: number } | undefined {
    return this.backlog && { events: this.backlog.unsealed, oldestSeconds: Math.round(this.oldestSeconds) };
  }

  /** Seals whatever there is to seal. */
  async turn(signal: AbortSignal): Promise<number> {
    const { backlog, milliseconds } = await this.look();
    if (backlog.hasWork) {
      while ((await this.seal()) === BATCH) if (signal.aborted) break;
      await this.look();
    }
    // Where a look is costly, with very many gaps, it is a tenth of the time up to half a second.
    return Math.min(Math.max(PAUSE_MS, 10 * milliseconds), LONGEST_PAUSE_MS);
  }

  private async look(): Promise<{ backlog: Backlog; milliseconds: number }> {
    const started = performance.now();
    const backlog = await readBacklog(this.dataSource);
    this.backlog = backlog;
    this.seenAt = performance.now();
    return { backlog, milliseconds: this.seenAt - started };
  }

  /** The number of leaves added, 0 where another process was faster. */
  private async seal(): Promise<number> {
    try {
      const sealed = await traced({ name: 'seal events' }, () => seal(this.dataSource));
      if (sealed !== 'busy') {
        this.countSeal();
        return sealed.leaves;
      }
    } catch (error) {
      if (!isRetryable(error) && sqlState(error) !== SqlState.uniqueViolation) throw error;
    }
    this.countRival();
    return 0;
  }

  /** As of now: it grows while the database is away. */
  private get oldestSeconds(): number {
    if (this.backlog === undefined || this.backlog.unsealed === 0) return 0;
    return this.backlog.oldestSeconds + (performance.now() - this.seenAt) / 1_000;
  }
}
