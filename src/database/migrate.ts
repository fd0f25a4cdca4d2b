import { setTimeout as delay } from 'node:timers/promises';
import { DataSource, MigrationExecutor } from 'typeorm';
import { dataSourceOptions } from './data-source.js';
import { SqlState, sqlState } from './sqlstate.js';

/**
 * How long a migration queues for a lock. While it does, every request that comes after it queues too: behind an export,
 * which keeps its tables from being altered until it is over, that would be everybody.
 */
const LOCK_PATIENCE = '1s';
const PAUSE_MS = 1_000;
const ATTEMPTS = 150;

/**
 * Runs every pending migration, all in one transaction, as the owner of the schema at `url`; returns the names of
 * those it ran. Where a lock is not to be had it lets others pass and tries again, for five minutes; `onWait` is told
 * once. Throws what the database says when nothing was migrated.
 */
export async function migrate(url: string, onWait: () => void = () => undefined): Promise<string[]> {
  const dataSource = new DataSource({ ...dataSourceOptions(url, 1), logger: 'debug' });
  await dataSource.initialize();
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await attemptAll(dataSource);
      } catch (error) {
        if (sqlState(error) !== SqlState.lockNotAvailable || attempt === ATTEMPTS) throw error;
      }
      if (attempt === 1) onWait();
      await delay(PAUSE_MS);
    }
  } finally {
    await dataSource.destroy();
  }
}

async function attemptAll(dataSource: DataSource): Promise<string[]> {
  return dataSource.transaction(async ({ queryRunner }) => {
    // One at a time: whoever comes second waits here, and then finds nothing to do.
    await queryRunner?.query(`SELECT pg_advisory_xact_lock(hashtextextended('ordo migrations', 0))`);
    await queryRunner?.query(`SET LOCAL lock_timeout = '${LOCK_PATIENCE}'`);
    const done = await new MigrationExecutor(dataSource, queryRunner).executePendingMigrations();
    return done.map((migration) => migration.name);
  });
}
