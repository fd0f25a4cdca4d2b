import type { OnApplicationBootstrap, OnApplicationShutdown } from '@nestjs/common';
import type { PinoLogger } from 'nestjs-pino';
import type { DataSource } from 'typeorm';

const BATCH = 1_000;
const PAUSE_MS = 15 * 60_000;

/** Deletes what is past its time, at the start and then every quarter of an hour, a thousand rows at a time. */
export abstract class Purge implements OnApplicationBootstrap, OnApplicationShutdown {
  private timer: NodeJS.Timeout | undefined;

  /** `table` is what to delete from, `condition` SQL on its rows with the parameters `$1` and up. */
  protected constructor(
    private readonly dataSource: DataSource,
    private readonly logger: PinoLogger,
    private readonly table: string,
    private readonly condition: string,
    private readonly parameters: readonly unknown[] = [],
  ) {
    this.logger.setContext(new.target.name);
  }

  onApplicationBootstrap(): void {
    const purge = () => {
      this.purge().catch((error: unknown) => {
        this.logger.warn({ err: error }, `Old rows of ${this.table} were not purged`);
      });
    };
    purge();
    this.timer = setInterval(purge, PAUSE_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  /** Deletes all rows that are past their time and returns how many they were. */
  async purge(): Promise<number> {
    for (let purged = 0; ;) {
      const [, count] = await this.dataSource.query<[unknown, number]>(
        `DELETE FROM ${this.table} WHERE ctid = ANY(ARRAY(
           SELECT ctid FROM ${this.table} WHERE ${this.condition} LIMIT ${BATCH}))`,
        [...this.parameters],
      );
      purged += count;
      if (count < BATCH) return purged;
    }
  }
}
