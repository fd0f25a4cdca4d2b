import { randomBytes, randomUUID } from 'node:crypto';
import { expect } from '@jest/globals';
import { canonicalBytes } from '../../src/database/canonical.js';
import { encodeEntry, type Entry, stateHash } from '../../src/database/entry.js';
import type { TestDatabase } from './database.js';

/** SQL that concerns at least one row, and its parameters. */
export type Tampering = string | readonly [sql: string, ...parameters: unknown[]];

/** Runs statements as a superuser whom no trigger and no foreign key holds up. */
export async function tamper(database: TestDatabase, ...statements: readonly Tampering[]): Promise<void> {
  const client = await database.connect(database.superuserUrl);
  await client.query('SET session_replication_role = replica');
  for (const statement of statements) {
    const [sql, ...parameters] = typeof statement === 'string' ? [statement] : statement;
    const { rowCount } = await client.query(sql, parameters);
    expect([sql, (rowCount ?? 0) > 0]).toEqual([sql, true]);
  }
  await client.end();
}

interface StoredEvent {
  readonly id: string;
  readonly version: number;
  readonly entry: Buffer;
  readonly state: Buffer;
}

/** What a forger changes of an event. */
export interface Forgery {
  readonly version: number;
  readonly entry?: Partial<Entry>;
  /** Changes the state in place; whatever it holds is committed to. */
  readonly state?: (state: any) => void; // eslint-disable-line @typescript-eslint/no-explicit-any -- of any shape
}

/** An event made anew, with salt, hash, entry and columns that all go together. */
function forge({ entry, state }: Pick<StoredEvent, 'entry' | 'state'>, change: Forgery) {
  const newState = JSON.parse(state.toString()) as Record<string, unknown>;
  change.state?.(newState);
  const bytes = canonicalBytes(newState);
  const salt = randomBytes(16);
  const { v: _v, ...said } = JSON.parse(entry.toString()) as Entry & { v: number };
  const newEntry = {
    ...said,
    at: String(newState.updatedAt),
    ...change.entry,
    stateHash: stateHash(salt, bytes),
  };
  return { said: newEntry, entry: encodeEntry(newEntry), salt, state: bytes };
}

async function eventsOf(database: TestDatabase, id: string): Promise<StoredEvent[]> {
  return database.query<StoredEvent & Record<string, unknown>>(
    `SELECT id, subject_version AS version, entry, state FROM audit_events
      WHERE subject_id = $1 AND subject_version IS NOT NULL ORDER BY subject_version`,
    [id],
  );
}

/** Changes events of a subject so that they are sound in themselves. */
export async function forgeEvents(database: TestDatabase, id: string, ...changes: Forgery[]): Promise<void> {
  const events = await eventsOf(database, id);
  for (const change of changes) {
    const event = events.find(({ version }) => version === change.version);
    if (event === undefined) throw new Error(`No version ${change.version}`);
    const { said, entry, salt, state } = forge(event, change);
    await tamper(database, [
      `UPDATE audit_events SET at = $2, action = $3, entry = $4, salt = $5, state = $6 WHERE id = $1`,
      event.id,
      said.at,
      said.action,
      entry,
      salt,
      state,
    ]);
  }
}

interface MadeEvent {
  readonly said: Entry;
  readonly entry: Buffer;
  readonly salt: Buffer | null;
  readonly state: Buffer | null;
}

const COLUMNS: readonly ((event: MadeEvent) => unknown)[] = [
  ({ said }) => said.id,
  ({ said }) => said.at,
  ({ said }) => said.actor.type,
  ({ said }) => said.actor.id,
  ({ said }) => said.action,
  ({ said }) => said.subject.type,
  ({ said }) => said.subject.id,
  ({ said }) => said.subject.version,
  ({ said }) => said.requestId,
  ({ entry }) => entry,
  ({ salt }) => salt,
  ({ state }) => state,
];

function insertion(events: readonly MadeEvent[]): Tampering {
  return [
    `INSERT INTO audit_events (id, at, actor_type, actor_id, action, subject_type, subject_id, subject_version,
                               request_id, entry, salt, state)
     SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                          $8::integer[], $9::uuid[], $10::bytea[], $11::bytea[], $12::bytea[])`,
    ...COLUMNS.map((column) => events.map(column)),
  ];
}

/** Appends an event that is sound in itself: the next version of a subject, from the state of its newest. */
export async function appendEvent(
  database: TestDatabase,
  id: string,
  action: string,
  change: Forgery['state'] = () => undefined,
): Promise<void> {
  const newest = (await eventsOf(database, id)).at(-1);
  if (newest === undefined) throw new Error('No event');
  const version = newest.version + 1;
  const { subject } = JSON.parse(newest.entry.toString()) as Entry;
  const made = forge(newest, {
    version,
    entry: { id: randomUUID(), action, subject: { ...subject, version } },
    state: (next) => {
      next.version = version;
      change(next);
    },
  });
  await tamper(database, insertion([made]));
}

/** Appends an event without version and state. */
export async function appendOccurrence(
  database: TestDatabase,
  action: string,
  subjectId: string | null,
): Promise<string> {
  const type = action.slice(0, action.indexOf('.'));
  const said: Entry = {
    id: randomUUID(),
    at: new Date().toISOString(),
    actor: { type: 'system', id: null },
    action,
    subject: { type, id: subjectId, version: null },
    stateHash: null,
    requestId: randomUUID(),
  };
  await tamper(database, insertion([{ said, entry: encodeEntry(said), salt: null, state: null }]));
  return said.id;
}

/**
 * Copies a subject with its rows (tables and their columns with its id) and events as often as asked for, each with an
 * id of its own; `unique` is a text in its rows that no two may share. Returns the ids.
 */
export async function cloneSubject(
  database: TestDatabase,
  tables: Readonly<Record<string, string>>,
  { id, unique }: { readonly id: string; readonly unique: string },
  times: number,
): Promise<string[]> {
  const clones = Array.from({ length: times }, () => ({ id: randomUUID(), unique: randomUUID() }));
  const copy = (text: string, clone: { id: string; unique: string }) =>
    text.replaceAll(id, clone.id).replaceAll(unique, clone.unique);
  const statements: Tampering[] = [];
  for (const [table, column] of Object.entries(tables)) {
    const rows = await database.query<{ row: string }>(
      `SELECT row_to_json(${table})::text AS row FROM ${table} WHERE ${column} = $1`,
      [id],
    );
    if (rows.length === 0) continue;
    const copies = clones.flatMap((clone) => rows.map(({ row }) => copy(row, clone)));
    statements.push([
      `INSERT INTO ${table} SELECT * FROM json_populate_recordset(NULL::${table}, $1)`,
      `[${copies.join(',')}]`,
    ]);
  }
  const events = (await eventsOf(database, id)).flatMap(({ version, entry, state }) =>
    clones.map((clone) => {
      const copied = {
        entry: Buffer.from(copy(entry.toString(), clone)),
        state: Buffer.from(copy(state.toString(), clone)),
      };
      return forge(copied, { version, entry: { id: randomUUID() } });
    }),
  );
  await tamper(database, ...statements, insertion(events));
  return clones.map((clone) => clone.id);
}
