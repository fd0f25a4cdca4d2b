import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { MAX } from 'uuid';
import { KeysetQuery, type SearchableList, type Slice } from '../database/keyset.js';
import { notFound } from '../problems/problem.js';
import type { AuditEventResponse, AuditFilters, AuditQuery } from './audit.dto.js';

/** What an event is answered from. */
export interface EventRow {
  readonly entry: Buffer;
  readonly leaf_hash: Buffer;
}

/** Events that are read at once when all of them are wanted. */
const PART = 500;

/** Events and the indexes that they are searched by; all other conditions filter. */
const EVENTS: SearchableList = {
  table: 'audit_events',
  indexes: [
    [
      { columns: ['subject_id'], only: 'subject_version IS DISTINCT FROM 1', nullsFirst: true },
      { columns: ['subject_id'], unique: { subject_version: '1' } },
    ],
    [{ columns: ['actor_id'] }],
    [{ columns: ['action'], except: ['order.placed'] }],
    [{ columns: ['subject_type'], except: ['order'] }],
  ],
};

/** The events that fit the query. */
export function eventsThatFit(query: AuditFilters): KeysetQuery {
  return new KeysetQuery(EVENTS)
    .equal('subject_id', query.subjectId, '?::uuid')
    .equal('actor_id', query.actorId, '?::uuid')
    .equal('action', query.action)
    .equal('subject_type', query.subjectType)
    .during('at', query.from, query.to);
}

/** All events, whatever their subject. They are answered from their entries: the very bytes that the log commits to. */
@Injectable()
export class AuditService {
  constructor(private readonly dataSource: DataSource) {}

  /** One event by its id; `not-found` when there is none. */
  async get(id: string): Promise<AuditEventResponse> {
    const [event] = await this.findAll([id]);
    if (event === undefined) throw notFound();
    return event;
  }

  /** One page of events, newest first, and where the next one starts. */
  async list(query: AuditQuery, after: string | undefined): Promise<Slice<AuditEventResponse>> {
    const { ids, next } = await eventsThatFit(query).page(this.dataSource, query.limit, after);
    return { data: await this.findAll(ids), next };
  }

  /** All that a user caused, newest first, part by part. */
  causedBy(userId: string): AsyncGenerator<readonly AuditEventResponse[]> {
    return this.all(`actor_id = $1 AND actor_type = 'user'`, userId);
  }

  /** All that happened to a user without changing them, such as sign-ins; newest first, part by part. */
  happenedTo(userId: string): AsyncGenerator<readonly AuditEventResponse[]> {
    // Said twice, the second time as an index knows it.
    const occurrence = 'subject_version IS NULL AND subject_version IS DISTINCT FROM 1';
    return this.all(`subject_id = $1 AND subject_type = 'user' AND ${occurrence}`, userId);
  }

  private async *all(condition: string, id: string): AsyncGenerator<readonly AuditEventResponse[]> {
    let last: AuditEventResponse | undefined;
    do {
      const rows = await this.dataSource.query<EventRow[]>(
        `SELECT entry, leaf_hash FROM audit_events WHERE ${condition} AND id < $2 ORDER BY id DESC LIMIT ${PART}`,
        [id, last?.id ?? MAX],
      );
      const events: AuditEventResponse[] = rows.map(toResponse);
      yield events;
      last = events.length < PART ? undefined : events.at(-1);
    } while (last !== undefined);
  }

  private async findAll(ids: readonly string[]): Promise<AuditEventResponse[]> {
    const rows = await this.dataSource.query<EventRow[]>(
      `SELECT entry, leaf_hash FROM audit_events WHERE id = ANY($1::uuid[]) ORDER BY id DESC`,
      [ids],
    );
    return rows.map(toResponse);
  }
}

/** The event as its entry tells it. */
export function toResponse(row: EventRow): AuditEventResponse {
  const { id, at, actor, action, subject, requestId, stateHash } = JSON.parse(
    row.entry.toString(),
  ) as AuditEventResponse;
  return { id, at, actor, action, subject, requestId, stateHash, leafHash: row.leaf_hash.toString('hex') };
}
