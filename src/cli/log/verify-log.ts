import { parseBundle } from '../../audit/log/bundle.js';
import type { TreeHead } from '../../audit/log/checkpoint.js';
import type { Verifier } from '../../audit/log/note.js';
import { type FilledTile, firstDifference, RightEdge, tileBytes } from '../../audit/log/right-edge.js';
import {
  bundlePath,
  hashesOnLevel,
  splitHashes,
  type Tile,
  tilePath,
  widestTile,
  TILE_WIDTH,
} from '../../audit/log/tiles.js';
import { leafHash } from '../../audit/log/tree.js';
import { openCheckpoint } from './checkpoint.js';
import { ahead, Fault, type LogSource, require } from './source.js';

/** What to check a log against. */
export interface Expectations {
  readonly verifiers: readonly Verifier[];
  /** Checkpoints that were seen before, with a name to tell them by. */
  readonly earlier: readonly { readonly name: string; readonly note: string }[];
  /** Whether each leaf is computed from its entry; otherwise the tree is checked from its lowest tiles on. */
  readonly entries: boolean;
  /** Told how many leaves there are, and then how many more are done. */
  readonly progress?: { begin(leaves: number): void; advance(leaves: number): void };
}

/** What a log without fault was found to be. */
export interface Findings {
  readonly head: TreeHead;
  readonly tiles: number;
}

/** Tiles that are read before they are needed. */
const AHEAD = 4;

/**
 * Computes the tree anew from the entries (or the lowest tiles) and compares every tile and checkpoint with it, in one
 * pass that keeps only the right edge. Throws `Fault`, which names the first thing that is wrong.
 */
export async function verifyLog(source: LogSource, expected: Expectations): Promise<Findings> {
  const note = (await require(source, 'checkpoint')).toString();
  const head = openCheckpoint('checkpoint', note, expected.verifiers);
  const earlier = earlierHeads(head, expected);
  expected.progress?.begin(head.size);
  const edge = new RightEdge();
  let tiles = 0;
  // A wrong root says only that something is wrong: whatever is found in a leaf or tile says what.
  const wrongRoots = earlier.filter(({ head: seen }) => seen.size === 0 && !seen.root.equals(edge.root()));
  for await (const { tile, hashes } of ahead(lowestTiles(head.size), AHEAD, (each) =>
    readLeaves(source, each, expected.entries),
  )) {
    const before = edge.size;
    for (const each of earlier) {
      const more = each.head.size - before;
      const isHere = more > 0 && more <= tile.width;
      if (isHere && !each.head.root.equals(edge.root(hashes.slice(0, more)))) wrongRoots.push(each);
    }
    const finished = edge.add(hashes);
    for (const each of finished) await compareTile(source, each);
    tiles += 1 + finished.length;
    expected.progress?.advance(tile.width);
  }
  for (const each of edge.unfinished()) {
    await compareTile(source, each);
    tiles += 1;
  }
  if (!head.root.equals(edge.root())) wrongRoots.push({ name: 'checkpoint', head });
  const [wrong] = wrongRoots;
  if (wrong !== undefined) {
    throw new Fault(`${wrong.name}: its root is not that of the first ${wrong.head.size} leaves`);
  }
  return { head, tiles };
}

function earlierHeads(head: TreeHead, { earlier, verifiers }: Expectations) {
  return earlier.map(({ name, note }) => {
    const seen = openCheckpoint(name, note, verifiers);
    if (seen.origin !== head.origin) throw new Fault(`${name} is of another log (${seen.origin})`);
    if (seen.size > head.size) {
      throw new Fault(`${name} covers ${seen.size} leaves, the log has only ${head.size}: leaves are lost`);
    }
    return { name, head: seen };
  });
}

function* lowestTiles(size: number): Generator<Tile> {
  const count = Math.ceil(hashesOnLevel(0, size) / TILE_WIDTH);
  for (let index = 0; index < count; index += 1) yield widestTile(0, index, size);
}

/** The hashes of a lowest tile, which are those of its entries where these are read. */
async function readLeaves(source: LogSource, tile: Tile, entries: boolean) {
  const [bytes, bundle] = await Promise.all([
    readTile(source, tile),
    entries ? require(source, bundlePath(tile)) : undefined,
  ]);
  const hashes = splitHashes(bytes);
  if (bundle !== undefined) compareEntries(tile, hashes, bundle);
  return { tile, hashes };
}

async function readTile(source: LogSource, tile: Tile): Promise<Buffer> {
  const bytes = await require(source, tilePath(tile));
  if (bytes.length === tileBytes(tile.width)) return bytes;
  throw new Fault(`${tilePath(tile)} has ${bytes.length} bytes instead of ${tileBytes(tile.width)}`);
}

function compareEntries(tile: Tile, hashes: readonly Buffer[], bundle: Buffer): void {
  const entries = parseBundle(bundle);
  if (entries?.length !== tile.width) {
    throw new Fault(`${bundlePath(tile)} does not hold ${tile.width} entries`);
  }
  const wrong = entries.findIndex((entry, index) => !(hashes[index]?.equals(leafHash(entry)) ?? false));
  if (wrong === -1) return;
  const leaf = tile.index * TILE_WIDTH + wrong;
  throw new Fault(`leaf ${leaf}: its entry does not have the hash that ${tilePath(tile)} holds`);
}

async function compareTile(source: LogSource, { hashes, ...tile }: FilledTile): Promise<void> {
  const wrong = firstDifference(hashes, await readTile(source, tile));
  if (wrong === undefined) return;
  const below = widestTile(tile.level - 1, tile.index * TILE_WIDTH + wrong, Number.MAX_SAFE_INTEGER);
  throw new Fault(`${tilePath(tile)}: its hash ${wrong} is not the root of ${tilePath(below)}`);
}
