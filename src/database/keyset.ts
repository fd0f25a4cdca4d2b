import { type Found, type Search, type SearchIndex, searchSql } from './keyset-search.js';
import type { Queryable } from './snapshot.js';
import { Statement } from './statement.js';
import { displaced, FIRST_ID, idsOfTimes, LAST_ID } from './time-of-id.js';

/** One page of a list; `next` is where the following one starts, undefined on the last. */
export interface Slice<T> {
  readonly data: readonly T[];
  readonly next: string | undefined;
}

/** Ids of one page, newest first; `next` as in a slice. */
interface IdPage {
  readonly ids: readonly string[];
  readonly next: string | undefined;
}

/** What is listed, and by which indexes it is searched. */
export interface SearchableList {
  readonly table: string;
  /** The most selective first; those that only together hold all rows of a value stand together. */
  readonly indexes: readonly (readonly [SearchIndex, ...SearchIndex[]])[];
}

interface Condition {
  readonly column: string;
  readonly operator: '=' | '>=' | '>' | '<' | '<=';
  readonly operand: string;
  readonly value: unknown;
}

/** Keeps a value for a statement and answers what stands for it there. */
type Bind = (value: unknown) => string;

/** RFC 3339; undefined for no bound. */
type Instant = string | undefined;

/** An index on the id alone. */
const BY_ID: SearchIndex = { columns: [] };

/**
 * A page of a list by descending `id` (UUIDv7: newest first) whose cost depends neither on where in the list it is nor
 * on how long the list is. The first index that fits the conditions drives the search; all other conditions filter
 * what it finds, as many rows as a page may look at, so that such a page can be short or empty and yet have a next one.
 */
export class KeysetQuery {
  private readonly conditions: Condition[] = [];
  private time: { readonly column: string; readonly from: Instant; readonly to: Instant } | undefined;

  constructor(private readonly list: SearchableList) {}

  /** Rows whose `column` equals the value, which `?` stands for in the operand. An undefined value says nothing. */
  equal(column: string, value: unknown, operand = '?'): this {
    return this.add({ column, operator: '=', operand, value });
  }

  /** Rows whose `column` compares so with the value. An undefined value says nothing. */
  compare(column: string, operator: '>=' | '>' | '<=', value: unknown): this {
    return this.add({ column, operator, operand: '?', value });
  }

  /**
   * Rows whose time is at `from` or later and before `to`. Ids tell when they were
   * made, which narrows the search; the list needs an index on the id of the rows whose time is another, `displaced`.
   */
  during(column: string, from: Instant, to: Instant): this {
    if (from !== undefined || to !== undefined) this.time = { column, from, to };
    this.add({ column, operator: '>=', operand: '?', value: from });
    return this.add({ column, operator: '<', operand: '?', value: to });
  }

  /** Reads the page of `limit` ids that follows `after` (an id, undefined for the first page). */
  async page(database: Queryable, limit: number, after: string | undefined): Promise<IdPage> {
    const { sql, parameters } = this.statement(limit, after);
    return merge(await new Statement<Found>(undefined, sql).run(database, parameters), limit);
  }

  /** The statement that reads a page: it answers a row for each search that the page takes. */
  statement(limit: number, after = LAST_ID): { sql: string; parameters: unknown[] } {
    const parameters: unknown[] = [];
    const bind: Bind = (value) => `$${parameters.push(value)}`;
    const searches = this.searches(after, bind).map((search) => `(${searchSql(search, limit)})`);
    return { sql: searches.join('\nUNION ALL\n'), parameters };
  }

  private searches(after: string, bind: Bind): Search[] {
    const indexes = this.list.indexes.find(([index]) => this.driving(index) !== undefined) ?? [BY_ID];
    const [from, to] = idsOfTimes(this.time?.from, this.time?.to);
    const searches = indexes.map((index) => this.search(index, from, after < to ? after : to, bind));
    if (this.time !== undefined) {
      const index = { ...BY_ID, only: displaced(this.time.column) };
      searches.push(this.search(index, FIRST_ID, after, bind));
    }
    return searches;
  }

  private search(index: SearchIndex, from: string, before: string, bind: Bind): Search {
    const driving = this.driving(index) ?? [];
    const operand = (condition: Condition) => condition.operand.replace('?', bind(condition.value));
    const filters = this.conditions
      .filter((condition) => !driving.includes(condition))
      .map((condition) => this.filterSql(condition, operand(condition)));
    const values = driving.map(operand);
    return { table: this.list.table, index, values, filters, from: bind(from), before: bind(before) };
  }

  private filterSql({ column, operator }: Condition, operand: string): string {
    const { table, indexes } = this.list;
    const filter = `${column} ${operator} ${operand}`;
    const { through } = indexes.flat().find((each) => each.through && each.columns.includes(column)) ?? {};
    return through === undefined
      ? filter
      : `(SELECT true FROM ${through.table} WHERE ${through.id} = ${table}.id AND ${filter} LIMIT 1)`;
  }

  /** The conditions that give the index its values; undefined when there are not enough. */
  private driving({ columns, except = [] }: SearchIndex): Condition[] | undefined {
    const found = columns.map((column) =>
      this.conditions.find(
        (each) => each.column === column && each.operator === '=' && !except.includes(String(each.value)),
      ),
    );
    return found.every((condition) => condition !== undefined) ? found : undefined;
  }

  private add(condition: Condition): this {
    if (condition.value !== undefined) this.conditions.push(condition);
    return this;
  }
}

/** One page of what several searches found, which may be the same. */
export function merge(found: readonly Found[], limit: number): IdPage {
  // Below the id at which a search has stopped there may be more of it: the page ends there.
  const stops = found.flatMap(({ stopped }) => stopped ?? []);
  const end = stops.sort().at(-1);
  const ids = [...new Set(found.flatMap((each) => each.ids))].sort().reverse();
  const known = end === undefined ? ids : ids.filter((id) => id >= end);
  return known.length > limit
    ? { ids: known.slice(0, limit), next: known[limit - 1] }
    : { ids: known, next: end };
}
