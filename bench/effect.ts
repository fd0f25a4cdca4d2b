import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import canonicalize from 'canonicalize';
import pg from 'pg';

/** The rows that a request has inserted or changed, by their table. */
export type Effect = Readonly<Record<string, readonly Row[]>>;
type Row = Readonly<Record<string, unknown>>;

/** The tables that the workloads write, and the order of their rows. */
const TABLES = {
  orders: 'id',
  order_lines: 'position',
  audit_events: 'seq',
  idempotency_keys: 'key',
  sessions: 'id',
};

/**
 * What `request` has written to the database at `url`, and what it answers. The bytes of an event are read: the state
 * and the entry as JSON, whether both are canonical, and whether the entry commits to the state.
 */
export async function withEffect<T>(url: string, request: () => Promise<T>): Promise<[T, Effect]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ next: string }>(
      `SELECT pg_snapshot_xmax(pg_current_snapshot()) AS next`,
    );
    const answer = await request();
    const effect: Record<string, Row[]> = {};
    for (const [table, order] of Object.entries(TABLES)) {
      const written = await client.query<{ row: Row }>(
        `SELECT to_jsonb(${table}) AS row FROM ${table} WHERE xmin::text::bigint >= $1 ORDER BY ${order}`,
        [rows[0]?.next],
      );
      effect[table] = written.rows.map(({ row }) => readBytes(row));
    }
    return [answer, effect];
  } finally {
    await client.end();
  }
}

/** Columns that differ from run to run without meaning anything. */
const INCIDENTAL = ['seq', 'xid', 'leaf_hash'];

function readBytes(row: Row): Row {
  const kept = Object.fromEntries(Object.entries(row).filter(([name]) => !INCIDENTAL.includes(name)));
  if (typeof row.entry !== 'string') return kept;
  const [entry, state, salt] = [row.entry, row.state, row.salt].map(bytesOf);
  const claims = jsonOf(entry) as { stateHash?: string } | null;
  return {
    ...kept,
    entry: claims,
    state: jsonOf(state),
    isCanonical: [entry, state].every(
      (bytes) => bytes === null || canonicalize(jsonOf(bytes)) === String(bytes),
    ),
    commitsToState:
      state && salt && claims?.stateHash === createHash('sha256').update(salt).update(state).digest('hex'),
  };
}

/** PostgreSQL shows bytes as `\x` and hexadecimal digits. */
function bytesOf(column: unknown): Buffer | null {
  return typeof column === 'string' ? Buffer.from(column.slice(2), 'hex') : null;
}

function jsonOf(bytes: Buffer | null | undefined): unknown {
  return bytes ? (JSON.parse(bytes.toString()) as unknown) : null;
}

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d/;
const SECRETS = ['accessToken', 'refreshToken', 'nextCursor'];

/**
 * The value with what is new every time replaced by its kind: ids other than the `known` ones, times, hashes, tokens.
 */
export function normalise(value: unknown, known: ReadonlySet<string>, name = ''): unknown {
  if (typeof value === 'string') {
    if (SECRETS.includes(name)) return '(token)';
    if (UUID.test(value)) return known.has(value) ? value : '(id)';
    if (TIME.test(value)) return '(time)';
    if (/^\\x[\da-f]+$/.test(value)) return `(${value.length / 2 - 1} bytes)`;
    return /^[\da-f]{64}$/.test(value) ? '(hash)' : value;
  }
  if (Array.isArray(value)) return value.map((each) => normalise(each, known));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([member, each]) => [member, normalise(each, known, member)]),
  );
}

/** Where two values differ first, and what is there; undefined when they are equal. */
export function firstDifference(a: unknown, b: unknown, path = ''): string | undefined {
  if (isDeepStrictEqual(a, b)) return undefined;
  if (isObject(a) && isObject(b)) {
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      const difference = firstDifference(a[name], b[name], `${path}/${name}`);
      if (difference !== undefined) return difference;
    }
  }
  return `${path}: ${JSON.stringify(a)} and ${JSON.stringify(b)}`;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
