import type { Transaction } from '../../database/transaction.js';
import { formatTreeHead } from '../log/checkpoint.js';
import { storedRoots, storedSize } from '../log/stored-tree.js';
import { foldRoots, nodesOfRoot } from '../log/tree.js';
import { Contradiction } from '../obstacle.js';
import { type Finding, finding } from './finding.js';
import { type Bounds, differencesOfLog, type Section, type SectionPage } from './section.js';

interface Checkpoint {
  readonly size: number;
  readonly root: Buffer;
  readonly note: string;
}

/** Of each, some hundreds of hashes are read. */
const MOST_AT_ONCE = 25;

/** The checkpoints that were published under the log's name, each against the tree. What signs them is not looked at. */
export class CheckpointsSection implements Section {
  readonly name = 'checkpoints';
  readonly table = 'audit_checkpoints';

  constructor(private readonly origin: string) {}

  async bounds(tx: Transaction): Promise<Bounds | undefined> {
    const [{ last }] = await tx.query<[{ last: string | null }]>(
      `SELECT max(size)::text AS last FROM audit_checkpoints WHERE origin = $1`,
      [this.origin],
    );
    return last === null ? undefined : { first: '0', last };
  }

  async page(tx: Transaction, after: string | undefined, last: string, limit: number): Promise<SectionPage> {
    const most = Math.min(limit, MOST_AT_ONCE);
    const checkpoints = await tx.query<Checkpoint[]>(
      `SELECT size, root, note FROM audit_checkpoints WHERE origin = $1 AND size > $2 AND size <= $3
        ORDER BY size LIMIT $4`,
      [this.origin, after ?? -1, last, most],
    );
    const size = await storedSize(tx);
    const findings: Finding[] = [];
    for (const checkpoint of checkpoints) {
      findings.push(...this.checkNote(checkpoint), ...(await checkRoot(tx, checkpoint, size)));
    }
    const next = checkpoints.length === most ? checkpoints.at(-1)?.size.toString() : undefined;
    return { checked: checkpoints.length, differences: differencesOfLog(findings), next };
  }

  measure(key: string): number {
    return Number(key);
  }

  private checkNote({ size, root, note }: Checkpoint): Finding[] {
    const head = formatTreeHead({ origin: this.origin, size, root });
    if (note.startsWith(`${head}\n`)) return [];
    return [finding('checkpoint-differs', 'audit_checkpoints.note', { expected: size })];
  }
}

async function checkRoot(tx: Transaction, { size, root }: Checkpoint, leaves: number): Promise<Finding[]> {
  if (size > leaves) {
    return [finding('checkpoint-differs', 'audit_checkpoints.size', { expected: leaves, actual: size })];
  }
  const [expected, actual] = [await rootOf(tx, size), root.toString('hex')];
  if (expected === actual) return [];
  return [finding('checkpoint-differs', 'audit_checkpoints.root', { expected, actual })];
}

/** In hex; undefined where hashes are missing. */
async function rootOf(tx: Transaction, size: number): Promise<string | undefined> {
  try {
    return foldRoots(await storedRoots(tx, nodesOfRoot(size))).toString('hex');
  } catch (error) {
    if (error instanceof Contradiction) return undefined;
    throw error;
  }
}
