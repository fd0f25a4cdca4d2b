import type { Transaction } from '../../database/transaction.js';
import { storedSize } from '../log/stored-tree.js';
import { hashesOnLevel, splitHashes, TILE_WIDTH } from '../log/tiles.js';
import { completeRoot } from '../log/tree.js';
import { type Finding, finding } from './finding.js';
import { type Bounds, differencesOfLog, type Section, type SectionPage } from './section.js';

interface Place {
  readonly level: number;
  readonly position: number;
}

interface Subtree extends Place {
  /** As it is stored; null where it is not. */
  readonly hash: Buffer | null;
  /** The hashes that it is the root of, one after the other. */
  readonly below: Buffer | null;
}

/** Each is computed from 256 hashes. */
const MOST_AT_ONCE = 16;
/** More than a log can have whose numbers are below 2^53. */
const LEVELS = 7;
const MOST_STRAYS = 100;

/**
 * The roots of full tiles that are stored, level by level, each against the hashes that it is the root of. They are walked
 * through by number; the last key tells how many there are, and the leaves that follow from.
 */
export class SubtreesSection implements Section {
  readonly name = 'subtrees';
  readonly table = 'audit_subtrees';

  async bounds(tx: Transaction): Promise<Bounds | undefined> {
    const size = await storedSize(tx);
    const [{ any }] = await tx.query<[{ any: boolean }]>(`SELECT EXISTS (SELECT FROM audit_subtrees) AS any`);
    const total = countsOf(size).reduce((sum, count) => sum + count, 0);
    return any || total > 0 ? { first: '0', last: `${total}.${size}` } : undefined;
  }

  async page(tx: Transaction, after: string | undefined, last: string, limit: number): Promise<SectionPage> {
    const [total = 0, size = 0] = last.split('.').map(Number);
    const first = after === undefined ? 0 : Number(after) + 1;
    const past = Math.min(total, first + Math.min(limit, MOST_AT_ONCE));
    const numbers = Array.from({ length: past - first }, (_, index) => first + index);
    const counts = countsOf(size);
    const subtrees = await read(
      tx,
      numbers.map((number) => placeOf(number, counts)),
    );
    const findings = subtrees.flatMap(checkSubtree);
    const isLast = past === total;
    if (isLast) findings.push(...(await findStrays(tx)));
    return {
      checked: subtrees.length,
      differences: differencesOfLog(findings),
      next: isLast ? undefined : String(past - 1),
    };
  }

  measure(key: string): number {
    return Number.parseInt(key, 10);
  }
}

/** How many subtrees of each level, from 1 on, a tree of so many leaves has. */
function countsOf(size: number): number[] {
  return Array.from({ length: LEVELS }, (_, below) => hashesOnLevel(below + 1, size));
}

function placeOf(number: number, counts: readonly number[]): Place {
  let position = number;
  for (const [below, count] of counts.entries()) {
    if (position < count) return { level: below + 1, position };
    position -= count;
  }
  throw new RangeError(`no subtree ${number}`);
}

async function read(tx: Transaction, places: readonly Place[]): Promise<Subtree[]> {
  return tx.query<Subtree[]>(
    `SELECT wanted.level, wanted.position, stored.hash,
            CASE WHEN wanted.level = 1 THEN (
              SELECT string_agg(hash, '' ORDER BY leaf_index) FROM audit_leaves
               WHERE leaf_index >= ${TILE_WIDTH} * wanted.position AND leaf_index < ${TILE_WIDTH} * (wanted.position + 1)
            ) ELSE (
              SELECT string_agg(hash, '' ORDER BY position) FROM audit_subtrees AS child
               WHERE child.level = wanted.level - 1 AND child.position >= ${TILE_WIDTH} * wanted.position
                 AND child.position < ${TILE_WIDTH} * (wanted.position + 1)
            ) END AS below
       FROM unnest($1::smallint[], $2::bigint[]) WITH ORDINALITY AS wanted (level, position, number)
       LEFT JOIN audit_subtrees AS stored ON stored.level = wanted.level AND stored.position = wanted.position
      ORDER BY number`,
    [places.map(({ level }) => level), places.map(({ position }) => position)],
  );
}

function checkSubtree({ level, position, hash, below }: Subtree): Finding[] {
  const place = `${level}.${position}`;
  if (hash === null) return [finding('subtree-missing', 'audit_subtrees', { expected: place })];
  const hashes = splitHashes(below ?? Buffer.alloc(0));
  // One that is missing below is told where it is missing.
  if (hashes.length !== TILE_WIDTH) return [];
  const [expected, actual] = [completeRoot(hashes).toString('hex'), hash.toString('hex')];
  if (expected === actual) return [];
  return [finding('subtree-differs', `audit_subtrees/${place}`, { expected, actual })];
}

/** Subtrees that the tree is too small for. */
async function findStrays(tx: Transaction): Promise<Finding[]> {
  const counts = countsOf(await storedSize(tx));
  const strays = await tx.query<Place[]>(
    `SELECT stray.level, stray.position
       FROM unnest($1::bigint[]) WITH ORDINALITY AS tree (count, level), LATERAL (
         SELECT * FROM audit_subtrees AS subtree WHERE subtree.level = tree.level AND position >= count
          ORDER BY position LIMIT ${MOST_STRAYS}
       ) AS stray
     UNION ALL (SELECT level, position FROM audit_subtrees WHERE level > ${LEVELS} LIMIT ${MOST_STRAYS})`,
    [counts],
  );
  return strays.map(({ level, position }) =>
    finding('subtree-unexpected', 'audit_subtrees', { actual: `${level}.${position}` }),
  );
}
