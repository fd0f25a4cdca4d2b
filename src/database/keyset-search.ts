/**
 * How many rows a search looks at for a page, at most, while it filters them one by one: as they lie in the table when
 * they are read by id, or from all over it when other columns drive the search.
 */
const MOST_ROWS = 2_000;
const MOST_SCATTERED_ROWS = 500;

/** An index that is searched: on `columns`, and then on the id, so that it holds the rows of equal values by age. */
export interface SearchIndex {
  /** Columns whose values the conditions give, or expressions word for word as in the index. */
  readonly columns: readonly string[];
  /** Values of the only column that a partial index leaves out. */
  readonly except?: readonly string[];
  /** What else a partial index holds, word for word. */
  readonly only?: string;
  /** Instead of the id: columns, with their values in SQL, that together with `columns` say which row it is. */
  readonly unique?: Readonly<Record<string, string>>;
  /** Whether the index begins as another one does, and differs by NULLS FIRST so as not to be mistaken for it. */
  readonly nullsFirst?: true;
  /** The table that the index is on, where it is not the list's own, and its column with the list's id. */
  readonly through?: { readonly table: string; readonly id: string };
}

/** A search by an index for rows of `table` from the id `from` on and before the id `before`; all of it is SQL. */
export interface Search {
  readonly table: string;
  readonly index: SearchIndex;
  /** What the columns of the index equal, in their order. */
  readonly values: readonly string[];
  /** What else must hold for a row. */
  readonly filters: readonly string[];
  readonly from: string;
  readonly before: string;
}

/** What a search found: ids, newest first, and the id at which it stopped because it had looked at enough rows. */
export interface Found {
  readonly ids: readonly string[];
  readonly stopped: string | null;
}

/**
 * SQL that answers one `Found` with up to `limit` ids and one more, if there is one. No more rows are read than it
 * takes: the subqueries yield them one by one, in the order of the index, to whoever asks.
 */
export function searchSql(search: Search, limit: number): string {
  const scanLimit = scanLimitOf(search, limit);
  return `WITH scanned AS MATERIALIZED (
      ${scanSql(search, scanLimit)}
    ), found AS MATERIALIZED (
      SELECT id FROM scanned WHERE fits LIMIT ${limit + 1}
    )
    SELECT ARRAY(SELECT id FROM found ORDER BY id DESC) AS ids,
           CASE WHEN (SELECT count(*) FROM found) <= ${limit}
                THEN (SELECT id FROM scanned OFFSET ${scanLimit - 1}) END AS stopped`;
}

function scanLimitOf({ index, filters }: Search, limit: number): number {
  if (filters.length === 0 && index.unique === undefined) return limit + 1;
  return index.columns.length === 0 ? MOST_ROWS : MOST_SCATTERED_ROWS;
}

function scanSql({ table, index, filters, from, before, ...search }: Search, scanLimit: number): string {
  const { columns, through, unique } = index;
  // In a subquery they are unknown when the plan is made: it is the same for all values, whatever the statistics say.
  const values = search.values.map((value) => `(SELECT ${value})`);
  if (unique !== undefined) {
    const place = columns.concat(Object.keys(unique));
    const at = values.concat(Object.values(unique));
    const fits = allOf([...filters, `id >= ${from}`, `id < ${before}`]);
    return `SELECT id, ${fits} AS fits FROM ${table} ${inOrder(index, place, at, '<=', at)} LIMIT 1`;
  }
  const id = through?.id ?? 'id';
  const rows = `${inOrder(index, [...columns, id], [...values, from], '<', [...values, before])} LIMIT ${scanLimit}`;
  if (through === undefined) return `SELECT id, ${allOf(filters)} AS fits FROM ${table} ${rows}`;
  // The filters are in a subquery for each row: in a join the planner might read all of the table.
  const fits =
    filters.length > 0 ? `(SELECT ${allOf(filters)} FROM ${table} WHERE ${table}.id = entry.id)` : 'true';
  const entries = `SELECT DISTINCT ${[...columns, id].join(', ')} AS id FROM ${through.table} ${rows}`;
  return `SELECT id, ${fits} AS fits FROM (${entries}) AS entry`;
}

/**
 * The rows of an index whose columns `place` lie between two places, from the last to the first. Not `column = value`:
 * there the planner knows the column to be the same in all rows, so that any index on the id yields their order, and
 * for a value that is common, but old, it may read the whole table. Rows compared as a whole are in order in one index.
 */
function inOrder(
  { columns, except, only, nullsFirst }: SearchIndex,
  place: readonly string[],
  first: readonly string[],
  operator: '<' | '<=',
  last: readonly string[],
): string {
  const conditions = [
    `(${place.join(', ')}) >= (${first.join(', ')})`,
    `(${place.join(', ')}) ${operator} (${last.join(', ')})`,
  ];
  if (only !== undefined) conditions.push(only);
  if (except !== undefined) {
    conditions.push(`${columns.join()} NOT IN (${except.map((value) => `'${value}'`).join(', ')})`);
  }
  const [leading, ...others] = place.map((column) => `${column} DESC`);
  const order = [nullsFirst ? `${leading} NULLS LAST` : leading, ...others].join(', ');
  return `WHERE ${allOf(conditions)} ORDER BY ${order}`;
}

function allOf(conditions: readonly string[]): string {
  return conditions.join(' AND ') || 'true';
}
