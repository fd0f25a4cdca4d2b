import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { ActionOf, StateOf, SubjectType } from '../database/event.js';
import { Cursors, type Page } from '../http/cursors.js';
import type { PageQuery } from '../http/page.dto.js';
import { notFound, Problem } from '../problems/problem.js';
import type { ActorResponse, EventResponse } from './history.dto.js';
import { changesBetween } from './changes.js';

interface EventRow {
  readonly id: string;
  readonly subject_version: number;
  readonly action: string;
  readonly actor_type: ActorResponse['type'];
  readonly actor_id: string | null;
  readonly at: Date;
  readonly request_id: string;
  readonly state: Buffer | null;
}

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
    summarize: (action: ActionOf<Type>, state: StateOf<Type>, before: StateOf<Type> | undefined) => string,
  ): Promise<Page<EventResponse>> {
    const list = `${type} ${id}`;
    const after = Number(this.cursors.read(list, query) ?? 0);
    // One row before the page, to compare its first event with, and one behind it, to see whether there is more.
    const rows = await this.dataSource.query<EventRow[]>(
      `SELECT id, subject_version, action, actor_type, actor_id, at, request_id, state
         FROM audit_events
        WHERE subject_id = $1 AND subject_type = $2 AND subject_version >= $3
        ORDER BY subject_version
        LIMIT $4`,
      [id, type, after, query.limit + (after === 0 ? 1 : 2)],
    );
    const events = rows.filter((row) => row.subject_version > after);
    if (events.length === 0 && after === 0) throw notFound();
    const states = new Map(rows.map((row) => [row.subject_version, stateOf(row)]));
    const data = events.slice(0, query.limit).map((row): EventResponse => {
      const state = states.get(row.subject_version);
      const before = states.get(row.subject_version - 1);
      return {
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
              before as StateOf<Type> | undefined,
            )
          : row.action,
        changes: before && state ? changesBetween(before, state) : [],
      };
    });
    const last = events.length > query.limit ? data.at(-1)?.version : undefined;
    return this.cursors.page(list, query, data, last?.toString());
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

/** The state that an event holds; undefined once it is erased. */
function stateOf(row: Pick<EventRow, 'state'>): object | undefined {
  return row.state === null ? undefined : (JSON.parse(row.state.toString()) as object);
}
