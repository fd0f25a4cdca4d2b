import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { type Queryable, Snapshots } from '../../database/snapshot.js';
import { AtOnce } from '../../http/at-once.js';
import { startingWith } from '../../http/stream.js';
import { Problem } from '../../problems/problem.js';
import type { AuditFilters } from '../audit.dto.js';
import { type EventRow, eventsThatFit, toResponse } from '../audit.service.js';
import { type PublishedCheckpoint, PublishedLog } from '../serving/published-log.js';
import type { ExportedEvent, ExportEnd } from './audit-export.dto.js';

interface Row extends EventRow {
  readonly leafIndex: number | null;
}

/** Events that are read, and held in memory, at once. */
const PAGE = 500;

/** Exports of the audit trail, at most two at once in this process. */
@Injectable()
export class AuditExports {
  private readonly atOnce = new AtOnce(2, 'exports of events');

  constructor(
    private readonly snapshots: Snapshots,
    private readonly log: PublishedLog,
  ) {}

  /**
   * All events that fit the filters and that the newest checkpoint covers, newest first, as they were at one moment, and
   * the manifest: `send` takes the text in parts, each read when it is asked for. Throws `unavailable` while two others
   * are under way, and `not-sealed` before the first checkpoint; ends early when `signal` aborts.
   */
  async run(
    filters: AuditFilters,
    signal: AbortSignal,
    send: (texts: AsyncIterable<string>) => Promise<void>,
  ): Promise<void> {
    await this.atOnce.run(() =>
      this.snapshots.read(signal, async (snapshot) => {
        const checkpoint = await this.log.newest(snapshot);
        if (checkpoint === undefined) throw notSealed();
        const texts = exportOf(snapshot, filters, checkpoint);
        await send(startingWith(await texts.next(), texts));
      }),
    );
  }
}

async function* exportOf(
  snapshot: Queryable,
  filters: AuditFilters,
  checkpoint: PublishedCheckpoint,
): AsyncGenerator<string, void> {
  const digest = createHash('sha256');
  const leaves = new LeafRange();
  let notCovered = 0;
  let after: string | undefined;
  do {
    const { ids, next } = await eventsThatFit(filters).page(snapshot, PAGE, after);
    let text = '';
    for (const row of await find(snapshot, ids)) {
      if (row.leafIndex === null || row.leafIndex >= checkpoint.size) {
        notCovered += 1;
        continue;
      }
      leaves.add(row.leafIndex);
      text += line({ ...toResponse(row), leafIndex: row.leafIndex });
    }
    digest.update(text);
    yield text;
    after = next;
  } while (after !== undefined);
  const { count, first, last } = leaves;
  const covered = { count, notCovered, firstLeaf: first, lastLeaf: last };
  yield line({
    manifest: { ...covered, sha256: digest.digest('hex'), checkpoint: checkpoint.note },
  });
}

/** The events with these ids, newest first. */
async function find(snapshot: Queryable, ids: readonly string[]): Promise<Row[]> {
  if (ids.length === 0) return [];
  return snapshot.query<Row[]>(
    `SELECT entry, leaf_hash, leaf_index AS "leafIndex"
       FROM audit_events LEFT JOIN audit_leaves ON event_seq = seq
      WHERE id = ANY($1::uuid[])
      ORDER BY id DESC`,
    [ids],
  );
}

function line(value: ExportedEvent | ExportEnd): string {
  return `${JSON.stringify(value)}\n`;
}

/** How many leaves there were, and between which numbers. */
class LeafRange {
  count = 0;
  first: number | null = null;
  last: number | null = null;

  add(leaf: number): void {
    this.count += 1;
    this.first = Math.min(leaf, this.first ?? leaf);
    this.last = Math.max(leaf, this.last ?? leaf);
  }
}

function notSealed(): Problem {
  return new Problem('not-sealed', 'No checkpoint has been published yet.', {
    headers: { 'Retry-After': '1' },
  });
}
