import { HASH_LENGTH, splitHashes, type Tile, TILE_WIDTH } from './tiles.js';
import { completeRoot, foldRoots } from './tree.js';

/** A tile together with its hashes. */
export interface FilledTile extends Tile {
  readonly hashes: Buffer;
}

/** A tree that grows tile by tile, of which only the tiles that are not full yet are kept: some kilobytes. */
export class RightEdge {
  /** The unfinished tile of each level; that of level 0 is whatever was added last. */
  private readonly levels: { index: number; hashes: Buffer[] }[] = [];
  private last: Buffer[] = [];
  private full = 0;

  /** Leaves so far. */
  get size(): number {
    return this.full * TILE_WIDTH + this.last.length;
  }

  /**
   * Adds the leaves of the next tile; only the last one may have less than 256. Returns the tiles of higher levels that
   * are full now, the lowest first.
   */
  add(leaves: readonly Buffer[]): FilledTile[] {
    if (leaves.length < TILE_WIDTH) {
      this.last = [...leaves];
      return [];
    }
    this.full += 1;
    return this.carry(completeRoot(leaves));
  }

  /** The root over all leaves and `more` of the next tile. */
  root(more: readonly Buffer[] = this.last): Buffer {
    const rows = [...this.levels.map(({ hashes }) => hashes).reverse(), more];
    return foldRoots(rows.flatMap(completeRoots));
  }

  /** The tiles of level 1 and higher that are not full and not empty. */
  *unfinished(): Generator<FilledTile> {
    for (const [below, { index, hashes }] of this.levels.entries()) {
      if (hashes.length > 0) yield filled(below + 1, index, hashes);
    }
  }

  private carry(root: Buffer): FilledTile[] {
    const tiles: FilledTile[] = [];
    let hash = root;
    for (let below = 0; ; below += 1) {
      const level = (this.levels[below] ??= { index: 0, hashes: [] });
      level.hashes.push(hash);
      if (level.hashes.length < TILE_WIDTH) return tiles;
      tiles.push(filled(below + 1, level.index, level.hashes));
      hash = completeRoot(level.hashes);
      this.levels[below] = { index: level.index + 1, hashes: [] };
    }
  }
}

function filled(level: number, index: number, hashes: readonly Buffer[]): FilledTile {
  return { level, index, width: hashes.length, hashes: Buffer.concat(hashes) };
}

/** The roots of the complete subtrees that neighbouring hashes make up, each larger than the next. */
function completeRoots(hashes: readonly Buffer[]): Buffer[] {
  const roots: Buffer[] = [];
  for (let begin = 0, width = TILE_WIDTH; begin < hashes.length; width /= 2) {
    if (begin + width > hashes.length) continue;
    roots.push(completeRoot(hashes.slice(begin, begin + width)));
    begin += width;
  }
  return roots;
}

/** Where two tiles of the same width differ first, counted in hashes; undefined when they do not. */
export function firstDifference(one: Buffer, other: Buffer): number | undefined {
  const [left, right] = [splitHashes(one), splitHashes(other)];
  const position = left.findIndex((hash, index) => !(right[index]?.equals(hash) ?? false));
  return position === -1 && one.length === other.length ? undefined : position;
}

/** Bytes of a tile of this width. */
export function tileBytes(width: number): number {
  return width * HASH_LENGTH;
}
