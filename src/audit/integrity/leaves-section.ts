import type { Transaction } from '../../database/transaction.js';
import { type Finding, finding } from './finding.js';
import { type Bounds, differencesOfLog, type Section, type SectionPage } from './section.js';

interface Leaf {
  readonly index: number;
  readonly seq: number;
  readonly hasEvent: boolean;
  readonly sealedTo: number;
}

/** The leaves of the log: numbered densely, each of an event that is sealed. Their hashes are checked with the events. */
export class LeavesSection implements Section {
  readonly name = 'leaves';
  readonly table = 'audit_leaves';

  async bounds(tx: Transaction): Promise<Bounds | undefined> {
    const [{ last }] = await tx.query<[{ last: string | null }]>(
      `SELECT max(leaf_index)::text AS last FROM audit_leaves`,
    );
    return last === null ? undefined : { first: '0', last };
  }

  async page(tx: Transaction, after: string | undefined, last: string, limit: number): Promise<SectionPage> {
    const before = Number(after ?? -1);
    const leaves = await tx.query<Leaf[]>(
      `SELECT leaf_index AS index, event_seq AS seq, event.seq IS NOT NULL AS "hasEvent",
              (SELECT coalesce(max(last_seq), 0) FROM audit_sealing) AS "sealedTo"
         FROM audit_leaves LEFT JOIN audit_events AS event ON event.seq = event_seq
        WHERE leaf_index > $1 AND leaf_index <= $2 ORDER BY leaf_index LIMIT $3`,
      [before, last, limit],
    );
    const findings = leaves.flatMap((leaf, place) =>
      checkLeaf(leaf, (leaves[place - 1]?.index ?? before) + 1),
    );
    const next = leaves.length === limit ? leaves.at(-1)?.index.toString() : undefined;
    return { checked: leaves.length, differences: differencesOfLog(findings), next };
  }

  measure(key: string): number {
    return Number(key);
  }
}

function checkLeaf({ index, seq, hasEvent, sealedTo }: Leaf, expected: number): Finding[] {
  const findings: Finding[] = [];
  if (index !== expected) {
    findings.push(finding('leaf-missing', 'audit_leaves.leaf_index', { expected, actual: index }));
  }
  if (!hasEvent) findings.push(finding('leaf-unexpected', 'audit_leaves.event_seq', { actual: seq }));
  if (seq > sealedTo) {
    findings.push(finding('leaf-unexpected', 'audit_sealing.last_seq', { expected: seq, actual: sealedTo }));
  }
  return findings;
}
