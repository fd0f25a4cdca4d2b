import { readConfig } from '../config/config.js';
import { StartupError } from '../config/startup-error.js';
import { migrate } from '../database/migrate.js';
import { runCommand } from './run-command.js';

/** `npm run migrate`: brings the schema at MIGRATION_DATABASE_URL, or else DATABASE_URL, up to date. */
await runCommand(async () => {
  const config = readConfig(undefined, 'migration');
  const url = config.MIGRATION_DATABASE_URL ?? config.DATABASE_URL;
  if (url === undefined) {
    throw new StartupError(
      'Nothing to migrate: set MIGRATION_DATABASE_URL (the embedded PostgreSQL migrates itself)',
    );
  }
  const done = await migrate(url, () => {
    console.error('Others hold a lock that a migration needs: trying again until it is free ...');
  });
  console.log(done.length === 0 ? 'The schema is up to date' : `Migrated: ${done.join(', ')}`);
});
