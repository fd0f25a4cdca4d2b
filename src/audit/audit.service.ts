import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { KeysetQuery, type Slice } from '../database/keyset.js';
import { notFound } from '../problems/problem.js';
import type { AuditEventResponse, AuditQuery } from './audit.dto.js';

interface Row {
  readonly entry: Buffer;
  readonly leaf_hash: Buffer;
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
    const { ids, next } = await new KeysetQuery(
      `(SELECT id, at, actor_id, action, subject_type, subject_id FROM audit_events) AS events`,
    )
      .narrow('subject_id = ?', query.subjectId)
      .filter('subject_type = ?', query.subjectType)
      .filter('actor_id = ?', query.actorId)
      .filter('action = ?', query.action)
      .filter('at >= ?', query.from)
      .filter('at < ?', query.to)
      .page(this.dataSource, query.limit, after);
    return { data: await this.findAll(ids), next };
  }

  private async findAll(ids: readonly string[]): Promise<AuditEventResponse[]> {
    const rows = await this.dataSource.query<Row[]>(
      `SELECT entry, leaf_hash FROM audit_events WHERE id = ANY($1::uuid[]) ORDER BY id DESC`,
      [ids],
    );
    return rows.map(toResponse);
  }
}

function toResponse(row: Row): AuditEventResponse {
  const { id, at, actor, action, subject, requestId, stateHash } = JSON.parse(
    row.entry.toString(),
  ) as AuditEventResponse;
  return { id, at, actor, action, subject, requestId, stateHash, leafHash: row.leaf_hash.toString('hex') };
}
