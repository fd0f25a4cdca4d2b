import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { NIL } from 'uuid';
import type { ActionOf, StateOf, SubjectType } from '../database/event.js';
import { Cursors, type Page } from '../http/cursors.js';
import type { PageQuery } from '../http/page.dto.js';
import { notFound, Problem } from '../problems/problem.js';
import type { ActorResponse, EventResponse } from './history.dto.js';
import { changesBetween } from './changes.js';

interface EventRow {
  readonly id: string;
  readonly subject_id: string;
  readonly subject_version: number;
  readonly action: string;
  readonly actor_type: ActorResponse['type'];
  readonly actor_id: string | null;
  readonly at: Date;
  readonly request_id: string;
  readonly state: Buffer | null;
}

/** An event with whose it is, and the state that it left: null once erased. */
export interface PastEvent<Type extends SubjectType> {
  readonly subjectId: string;
  readonly event: EventResponse;
  readonly state: StateOf<Type> | null;
}

type Summarize<Type extends SubjectType> = (
  action: ActionOf<Type>,
  state: StateOf<Type>,
  before: StateOf<Type> | undefined,
) => string;

const COLUMNS = 'id, subject_id, subject_version, action, actor_type, actor_id, at, request_id, state';

/** Events that are read at once when all of them are wanted. */
const PART = 100;

/** A moment in a subject's life: a version, or an instant in RFC 3339. */
export type Moment = { readonly version: number } | { readonly asOf: string };

/** The past of one subject, read off its events. */
@Injectable()
export class History {
  constructor(
    private readonly dataSource: DataSource,
    private readonly cursors: Cursors,
  ) {}

  /**
   * One page of a subject's events, oldest first, with what each changed; `summarize` puts an event in words, by the
   * state that it left and, but for the first, the one before. Throws `not-found` for a subject without events.
   */
  async page<Type extends SubjectType>(
    type: Type,
    id: string,
    query: PageQuery,
    summarize: Summarize<Type>,
  ): Promise<Page<EventResponse>> {
    const list = `${type} ${id}`;
    const after = Number(this.cursors.read(list, query) ?? 0);
    // One row before the page, to compare its first event with, and one behind it, to see whether there is more.
    const rows = await this.dataSource.query<EventRow[]>(
      `SELECT ${COLUMNS} FROM audit_events
        WHERE subject_id = $1 AND subject_type = $2 AND subject_version >= $3
        ORDER BY subject_version
        LIMIT $4`,
      [id, type, after, query.limit + (after === 0 ? 1 : 2)],
    );
    const events = rows.filter((row) => row.subject_version > after);
    if (events.length === 0 && after === 0) throw notFound();
    const before = rows.find((row) => row.subject_version === after);
    const data = describe(events.slice(0, query.limit), before, summarize).map(({ event }) => event);
    const last = events.length > query.limit ? data.at(-1)?.version : undefined;
    return this.cursors.page(list, query, data, last?.toString());
  }

  /** All events of these subjects, part by part: one subject after the other, its events oldest first. */
  async *all<Type extends SubjectType>(
    type: Type,
    ids: readonly string[],
    summarize: Summarize<Type>,
  ): AsyncGenerator<readonly PastEvent<Type>[]> {
    let last: EventRow | undefined;
    for (;;) {
      const rows: EventRow[] = await this.dataSource.query<EventRow[]>(
        `SELECT ${COLUMNS} FROM audit_events
          WHERE subject_id = ANY($1::uuid[]) AND subject_type = $2 AND subject_version IS NOT NULL
            AND (subject_id, subject_version) > ($3, $4)
          ORDER BY subject_id, subject_version
          LIMIT ${PART}`,
        [ids, type, last?.subject_id ?? NIL, last?.subject_version ?? 0],
      );
      yield describe(rows, last, summarize);
      if (rows.length < PART) return;
      last = rows.at(-1);
    }
  }

  /** The subject as it was; `not-found` for a version that it never had or before its first. */
  async stateAt<Type extends SubjectType>(type: Type, id: string, moment: Moment): Promise<StateOf<Type>> {
    // Events are told in milliseconds: the rest of a finer instant is cut off, where PostgreSQL would round it up.
    const asOf = 'asOf' in moment ? Date.parse(moment.asOf) : 0;
    if (asOf > Date.now()) {
      throw new Problem('invalid-parameter', 'asOf is in the future', {
        errors: [{ parameter: 'asOf', code: 'future', detail: 'asOf is in the future' }],
      });
    }
    const [row] = await this.dataSource.query<Pick<EventRow, 'state'>[]>(
      `SELECT state FROM audit_events
        WHERE subject_id = $1 AND subject_type = $2 AND subject_version IS NOT NULL
          AND ${'version' in moment ? 'subject_version = $3' : 'at <= $3'}
        ORDER BY subject_version DESC
        LIMIT 1`,
      [id, type, 'version' in moment ? moment.version : new Date(asOf).toISOString()],
    );
    const state = row && stateOf(row);
    if (state === undefined) throw notFound();
    return state as StateOf<Type>;
  }
}

/** Events of subjects in a row, told with what each changed; `before` is the event in front of the first. */
function describe<Type extends SubjectType>(
  rows: readonly EventRow[],
  before: EventRow | undefined,
  summarize: Summarize<Type>,
): PastEvent<Type>[] {
  let previous = before && { row: before, state: stateOf(before) };
  return rows.map((row) => {
    const state = stateOf(row);
    const earlier = previous?.row.subject_id === row.subject_id ? previous.state : undefined;
    previous = { row, state };
    const event = {
      id: row.id,
      version: row.subject_version,
      action: row.action,
      actor: { type: row.actor_type, id: row.actor_id },
      at: row.at.toISOString(),
      requestId: row.request_id,
      summary: state
        ? summarize(
            row.action as ActionOf<Type>,
            state as StateOf<Type>,
            earlier as StateOf<Type> | undefined,
          )
        : row.action,
      changes: earlier && state ? changesBetween(earlier, state) : [],
    };
    return { subjectId: row.subject_id, event, state: (state ?? null) as StateOf<Type> | null };
  });
}

/** The state that an event holds; undefined once it is erased. */
function stateOf(row: Pick<EventRow, 'state'>): object | undefined {
  return row.state === null ? undefined : (JSON.parse(row.state.toString()) as object);
}
