import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { DataSource, DataSourceOptions } from 'typeorm';
import { migrations } from '../../migrations/index.js';

/**
 * How TypeORM reaches the database at `url` (`postgresql://...`) with at most `poolSize` connections.
 * The schema is changed by migrations alone, never from entities.
 */
export function dataSourceOptions(url: string, poolSize: number) {
  return {
    type: 'postgres',
    url,
    poolSize,
    applicationName: 'ordo',
    connectTimeoutMS: 5_000,
    // Amounts stay below 2^53 by constraint, so that a number holds every bigint exactly.
    parseInt8: true,
    invalidWhereValuesBehavior: { null: 'throw', undefined: 'throw' },
    installExtensions: false,
    synchronize: false,
    logging: false,
    migrations,
    migrationsTableName: 'migrations',
  } satisfies DataSourceOptions;
}

/** What the pool of the service is told beside that: how it connects, and whether statements may be prepared. */
export interface PoolSettings {
  readonly stream: () => Socket;
  /** Called with each new connection before anybody gets it. */
  readonly onConnect: (connection: EventEmitter) => void;
  readonly preparesStatements: boolean;
}

/** Whether statements are prepared: always, but where the settings of the pool say otherwise. */
export function preparesStatements({ options }: DataSource): boolean {
  return (options.extra as Partial<PoolSettings> | undefined)?.preparesStatements !== false;
}

/** Names of the migrations that this build knows and the database has not run; needs `SELECT` on `migrations`. */
export async function pendingMigrations(dataSource: DataSource): Promise<string[]> {
  const [table] = await dataSource.query<[{ exists: boolean }]>(
    `SELECT to_regclass('migrations') IS NOT NULL AS exists`,
  );
  const rows = table.exists ? await dataSource.query<{ name: string }[]>(`SELECT name FROM migrations`) : [];
  const done = new Set(rows.map((row) => row.name));
  return migrations.map((migration) => migration.name).filter((name) => !done.has(name));
}
