import type { Queryable } from './snapshot.js';

/** How many rows a page may look at while it filters them one by one. */
const SCAN_LIMIT = 2_000;

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

/**
 * A page of a table by descending `id` (UUIDv7: newest first) whose cost does not depend on where in the list it is.
 * One condition that an index answers narrows what is read; the others filter what was read, at most 2,000 rows a page,
 * so that such a page can be short or empty and yet have a next one.
 */
export class KeysetQuery {
  private readonly indexed: string[] = [];
  private readonly filters: string[] = [];
  private readonly parameters: unknown[] = [];

  /** `source` is SQL that yields one row per `id`, in the order of `id` by an index. */
  constructor(private readonly source: string) {}

  /**
   * A condition that an index answers; `?` stands for the value. An undefined value adds nothing. One alone drives the
   * search, the first; others filter what it finds, for no index answers two of them together.
   */
  narrow(condition: string, value: unknown): this {
    return this.add(this.indexed.length === 0 ? this.indexed : this.filters, condition, value);
  }

  /** A condition on each row; `?` stands for the value. An undefined value adds nothing. */
  filter(condition: string, value: unknown): this {
    return this.add(this.filters, condition, value);
  }

  /** Reads the page of `limit` ids that follows `after` (an id, undefined for the first page). */
  async page(database: Queryable, limit: number, after: string | undefined): Promise<IdPage> {
    this.add(this.indexed, 'id < ?', after);
    const scanLimit = this.filters.length > 0 ? SCAN_LIMIT : limit + 1;
    const [page] = await database.query<[{ ids: string[] | null; resume: string | null }]>(
      `WITH scanned AS MATERIALIZED (
         SELECT * FROM ${this.source} ${where(this.indexed)} ORDER BY id DESC LIMIT ${scanLimit}
       ), found AS MATERIALIZED (
         SELECT id FROM scanned ${where(this.filters)} ORDER BY id DESC LIMIT ${limit + 1}
       )
       SELECT (SELECT array_agg(id ORDER BY id DESC) FROM found) AS ids,
              CASE WHEN (SELECT count(*) FROM found) <= ${limit} AND (SELECT count(*) FROM scanned) = ${scanLimit}
                   THEN (SELECT id FROM scanned ORDER BY id LIMIT 1) END AS resume`,
      this.parameters,
    );
    const ids = page.ids ?? [];
    return ids.length > limit
      ? { ids: ids.slice(0, limit), next: ids[limit - 1] }
      : { ids, next: page.resume ?? undefined };
  }

  private add(conditions: string[], condition: string, value: unknown): this {
    if (value !== undefined) {
      this.parameters.push(value);
      conditions.push(condition.replace('?', `$${this.parameters.length}`));
    }
    return this;
  }
}

function where(conditions: readonly string[]): string {
  return conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
}
