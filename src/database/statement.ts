import { DataSource, EntityManager, QueryFailedError } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { arrayParameter } from './array-parameter.js';
import { preparesStatements } from './data-source.js';
import type { Queryable } from './snapshot.js';

/** What node-postgres offers, be it the pool or one of its connections. */
interface Connection {
  query(query: {
    readonly name?: string;
    readonly text: string;
    readonly values: readonly unknown[];
  }): Promise<{ readonly rows: unknown[] }>;
}

/** So many texts that requests compose are prepared: one of a list takes a connection 80 to 200 kB. */
const MOST_COMPOSED = 32;
const composed = new Map<string, string>();

/**
 * SQL that is run often: each connection parses and plans it once, unless statements shall not be prepared. `R` is a row
 * of the answer. Neither the ORM's events nor its hydration take part.
 */
export class Statement<R> {
  /**
   * `name` tells it from all others. One whose text is composed of what a request asks for has none, and is prepared if
   * it is among the first of those.
   */
  constructor(
    private readonly name: string | undefined,
    private readonly text: string,
  ) {}

  /** Runs it in the open transaction, in a snapshot, or on any connection of the pool. */
  async run(on: DataSource | EntityManager | Queryable, values: readonly unknown[]): Promise<R[]> {
    const manager = on instanceof DataSource ? on.manager : on;
    if (!(manager instanceof EntityManager)) return manager.query<R[]>(this.text, [...values]);
    const connection = (await manager.queryRunner?.connect()) as Connection | undefined;
    const parameters = values.map((value) => (Array.isArray(value) ? arrayParameter(value) : value));
    const name = preparesStatements(manager.dataSource) ? (this.name ?? nameOf(this.text)) : undefined;
    const query = { text: this.text, values: parameters, ...(name !== undefined && { name }) };
    const { rows } = await (connection ?? poolOf(manager)).query(query).catch((error: unknown) => {
      // As the ORM tells it: of such an error the log leaves out what may be personal.
      throw Error.isError(error) ? new QueryFailedError(this.text, [], error) : error;
    });
    return rows as R[];
  }
}

/** What a composed text is prepared as, undefined when there are enough of them. */
function nameOf(text: string): string | undefined {
  if (!composed.has(text) && composed.size < MOST_COMPOSED) composed.set(text, `composed ${composed.size}`);
  return composed.get(text);
}

function poolOf(manager: EntityManager): Connection {
  return (manager.dataSource.driver as PostgresDriver).master as Connection;
}

/** The text of a statement as a part of another, its parameters numbered from `$first` on. */
export function numberedFrom(first: number, text: string): string {
  return text.replace(/\$(\d+)/g, (_, number: string) => `$${Number(number) + first - 1}`);
}

/** One member of each row, as the array that a statement takes for a column. */
export function column<T, K extends keyof T>(rows: readonly T[], member: K): T[K][] {
  return rows.map((row) => row[member]);
}
