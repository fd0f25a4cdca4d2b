import { Injectable } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { Reply } from '../../http/reply.js';
import { notFound, Problem } from '../../problems/problem.js';
import { formatProof } from '../log/proof.js';
import { storedProof } from '../log/stored-tree.js';
import { nodesOfInclusion } from '../log/tree.js';
import type { ProofResponse } from './log.dto.js';
import { PublishedLog } from './published-log.js';

interface Row {
  readonly entry: Buffer;
  readonly salt: Buffer | null;
  readonly state: Buffer | null;
  readonly type: string;
  readonly subject: string | null;
  readonly leafIndex: number | null;
  readonly leafHash: Buffer | null;
}

/** Of which subjects the events are wanted, and whose states may be shown. */
interface Audience {
  readonly subject?: { readonly type: string; readonly id: string };
  readonly readsStates: (subjectType: string) => boolean;
}

/** Proofs that events are in the log. */
@Injectable()
export class Proofs {
  constructor(
    private readonly dataSource: DataSource,
    private readonly log: PublishedLog,
  ) {}

  /**
   * The proof of an event against the newest checkpoint, in the media type `accepted`. Throws `not-found` for an event
   * that there is not, or not of this subject, and `not-sealed` while no checkpoint covers it.
   */
  async reply(id: string, accepted: string, audience: Audience): Promise<Reply<ProofResponse | string>> {
    const proof = await this.prove(id, audience);
    if (accepted === 'application/json') return new Reply(proof);
    const text = formatProof({
      index: proof.leafIndex,
      hashes: proof.hashes.map((hash) => Buffer.from(hash, 'base64')),
      checkpoint: proof.checkpoint,
      extra: Buffer.from(proof.entry, 'base64'),
    });
    return new Reply(text, { headers: { 'Content-Type': 'text/plain; charset=utf-8' } });
  }

  private async prove(id: string, { subject, readsStates }: Audience): Promise<ProofResponse> {
    const [event] = await this.dataSource.query<Row[]>(
      `SELECT entry, salt, state, subject_type AS type, subject_id AS subject, leaf_index AS "leafIndex",
              hash AS "leafHash"
         FROM audit_events LEFT JOIN audit_leaves ON event_seq = seq
        WHERE id = $1`,
      [id],
    );
    if (event === undefined || !concerns(event, subject)) throw notFound();
    const checkpoint = await this.log.newest();
    const { leafIndex, leafHash, entry } = event;
    if (leafIndex === null || leafHash === null || checkpoint === undefined || leafIndex >= checkpoint.size) {
      throw notSealed();
    }
    const hashes = await storedProof(this.dataSource.manager, nodesOfInclusion(leafIndex, checkpoint.size));
    const { salt, state } = readsStates(event.type) ? event : { salt: null, state: null };
    return {
      leafIndex,
      treeSize: checkpoint.size,
      leafHash: leafHash.toString('base64'),
      hashes: hashes.map((hash) => hash.toString('base64')),
      checkpoint: checkpoint.note,
      entry: entry.toString('base64'),
      salt: salt?.toString('base64') ?? null,
      state: state?.toString('base64') ?? null,
    };
  }
}

function concerns(event: Row, subject: Audience['subject']): boolean {
  return subject === undefined || (event.type === subject.type && event.subject === subject.id);
}

function notSealed(): Problem {
  return new Problem('not-sealed', 'No checkpoint covers this event yet.', {
    headers: { 'Retry-After': '1' },
  });
}
