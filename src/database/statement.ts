import { EntityManager, QueryFailedError } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
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

/**
 * SQL that is run often: each connection parses and plans it once, unless statements shall not be prepared. `R` is a row
 * of the answer. Neither the ORM's events nor its hydration take part.
 */
export class Statement<R> {
  /** `name` tells it from all others. */
  constructor(
    private readonly name: string,
    private readonly text: string,
  ) {}

  /** Runs it in the open transaction, in a snapshot, or on any connection of the pool. */
  async run(on: EntityManager | Queryable, values: readonly unknown[]): Promise<R[]> {
    if (!(on instanceof EntityManager)) return on.query<R[]>(this.text, [...values]);
    const connection = (await on.queryRunner?.connect()) as Connection | undefined;
    const parameters = values.map((value) => (Array.isArray(value) ? arrayLiteral(value) : value));
    const query = {
      text: this.text,
      values: parameters,
      ...(preparesStatements(on.dataSource) && { name: this.name }),
    };
    const { rows } = await (connection ?? poolOf(on)).query(query).catch((error: unknown) => {
      // As the ORM tells it: of such an error the log leaves out what may be personal.
      throw Error.isError(error) ? new QueryFailedError(this.text, [], error) : error;
    });
    return rows as R[];
  }
}

function poolOf(manager: EntityManager): Connection {
  return (manager.dataSource.driver as PostgresDriver).master as Connection;
}

/** An array as PostgreSQL reads it, which the driver would write with two replacements for every element. */
function arrayLiteral(elements: readonly unknown[]): string {
  return `{${elements.map(elementLiteral).join(',')}}`;
}

function elementLiteral(element: unknown): string {
  if (element === null || element === undefined) return 'NULL';
  if (typeof element === 'number' || typeof element === 'bigint') return String(element);
  if (Buffer.isBuffer(element)) return `"\\\\x${element.toString('hex')}"`;
  if (element instanceof Date) return `"${element.toISOString()}"`;
  const text = typeof element === 'string' ? element : JSON.stringify(element);
  // Most are identifiers and times. Without quotes the word NULL would stand for none.
  const isBare = /^[\w.:+-]+$/.test(text) && text.length !== 4;
  return isBare ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/** One member of each row, as the array that a statement takes for a column. */
export function column<T, K extends keyof T>(rows: readonly T[], member: K): T[K][] {
  return rows.map((row) => row[member]);
}
