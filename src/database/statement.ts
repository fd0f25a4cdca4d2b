import { type EntityManager, QueryFailedError } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';

/** What node-postgres offers, be it the pool or one of its connections. */
interface Queryable {
  query(query: {
    readonly name: string;
    readonly text: string;
    readonly values: readonly unknown[];
  }): Promise<{ readonly rows: unknown[] }>;
}

/**
 * SQL that is run often: each connection parses and plans it once. `R` is a row of the answer. Neither the ORM's events
 * nor its hydration take part.
 */
export class Statement<R> {
  /** `name` tells it from all others. */
  constructor(
    private readonly name: string,
    private readonly text: string,
  ) {}

  /** Runs it in the open transaction, or on any connection of the pool where there is none. */
  async run(on: EntityManager, values: readonly unknown[]): Promise<R[]> {
    const connection = (await on.queryRunner?.connect()) as Queryable | undefined;
    const query = { name: this.name, text: this.text, values };
    const { rows } = await (connection ?? poolOf(on)).query(query).catch((error: unknown) => {
      // As the ORM tells it: of such an error the log leaves out what may be personal.
      throw Error.isError(error) ? new QueryFailedError(this.text, [], error) : error;
    });
    return rows as R[];
  }
}

function poolOf(manager: EntityManager): Queryable {
  return (manager.dataSource.driver as PostgresDriver).master as Queryable;
}

/** One member of each row, as the array that a statement takes for a column. */
export function column<T, K extends keyof T>(rows: readonly T[], member: K): T[K][] {
  return rows.map((row) => row[member]);
}
