import { DataSource, MigrationExecutor } from 'typeorm';
import { dataSourceOptions } from './data-source.js';

/**
 * Runs every pending migration, all in one transaction, as the owner of the schema at `url`; returns the names of
 * those it ran.
 */
export async function migrate(url: string): Promise<string[]> {
  const dataSource = new DataSource(dataSourceOptions(url, 1));
  await dataSource.initialize();
  try {
    return await dataSource.transaction(async ({ queryRunner }) => {
      // One at a time: whoever comes second waits here, and then finds nothing to do.
      await queryRunner?.query(`SELECT pg_advisory_xact_lock(hashtextextended('ordo migrations', 0))`);
      const done = await new MigrationExecutor(dataSource, queryRunner).executePendingMigrations();
      return done.map((migration) => migration.name);
    });
  } finally {
    await dataSource.destroy();
  }
}
