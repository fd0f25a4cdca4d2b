import { mkdir, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseTreeHead, type TreeHead } from '../../audit/log/checkpoint.js';
import { parseVerifier } from '../../audit/log/note.js';
import { tileBytes } from '../../audit/log/right-edge.js';
import {
  bundlePath,
  type Tile,
  tilePath,
  tilesOfTree,
  TILE_WIDTH,
  widestTile,
} from '../../audit/log/tiles.js';
import { verifyConsistency } from '../../audit/log/tree.js';
import { existing, replaceFile } from '../../config/private-files.js';
import { openCheckpoint } from './checkpoint.js';
import { ahead, Fault, FolderSource, type LogSource, require, Unusable } from './source.js';

/** What an export has done. */
export interface Exported {
  readonly head: TreeHead;
  /** Files written, and those that an earlier export had written and that stay as they are. */
  readonly written: number;
  readonly kept: number;
}

const AHEAD = 4;
const PUBLIC_FILE = 0o644;

/**
 * Writes the log to a folder, each file in one step and the checkpoint last, so that the folder always holds a whole
 * log. Full tiles of an earlier export stay; its partial tiles go once nobody is led to them any more. Throws `Fault`
 * when the log does not continue what the folder holds.
 */
export async function exportLog(
  source: LogSource,
  folder: string,
  entries: boolean,
  progress: { begin(tiles: number): void; advance(tiles: number): void },
): Promise<Exported> {
  const note = await require(source, 'checkpoint');
  const keys = await require(source, 'key');
  const verifiers = keys.toString().trimEnd().split('\n').map(parseVerifier);
  const head = openCheckpoint('checkpoint', note.toString(), verifiers);
  const earlier = await earlierHead(folder);
  if (earlier !== undefined) await requireContinuation(source, earlier, head);

  const tiles = [...tilesOfTree(head.size)];
  progress.begin(tiles.length);
  let written = 0;
  let kept = 0;
  for await (const count of ahead(tiles, AHEAD, (tile) => copyTile(source, folder, tile, entries))) {
    written += count.written;
    kept += count.kept;
    progress.advance(1);
  }
  await write(folder, 'key', keys);
  await write(folder, 'checkpoint', note);
  if (earlier !== undefined) await removeOutgrown(folder, earlier.size, head.size);
  return { head, written, kept };
}

async function earlierHead(folder: string): Promise<TreeHead | undefined> {
  const note = await new FolderSource(folder).read('checkpoint');
  const end = note?.indexOf('\n\n') ?? -1;
  if (note === undefined) return undefined;
  try {
    return parseTreeHead(note.subarray(0, end + 1).toString());
  } catch (error) {
    throw new Unusable(`${folder} holds a checkpoint that cannot be read`, { cause: error });
  }
}

async function requireContinuation(source: LogSource, earlier: TreeHead, head: TreeHead): Promise<void> {
  if (earlier.origin !== head.origin) throw new Unusable(`The folder holds another log (${earlier.origin})`);
  if (earlier.size > head.size) {
    throw new Fault(
      `The folder holds ${earlier.size} leaves, the log has only ${head.size}: leaves are lost`,
    );
  }
  const hashes = earlier.size === 0 || earlier.size === head.size ? [] : await proofOf(source, earlier, head);
  if (!verifyConsistency(earlier.size, head.size, hashes, earlier.root, head.root)) {
    throw new Fault(`The log does not continue the ${earlier.size} leaves that the folder holds`);
  }
}

async function proofOf(source: LogSource, earlier: TreeHead, head: TreeHead): Promise<Buffer[]> {
  const answer = await require(source, `consistency?first=${earlier.size}&second=${head.size}`);
  const { hashes } = JSON.parse(answer.toString()) as { hashes: string[] };
  return hashes.map((hash) => Buffer.from(hash, 'base64'));
}

async function copyTile(source: LogSource, folder: string, tile: Tile, entries: boolean) {
  const paths = [tilePath(tile), ...(entries && tile.level === 0 ? [bundlePath(tile)] : [])];
  const count = { written: 0, kept: 0 };
  for (const [index, path] of paths.entries()) {
    // What is there was written in one step, and never changes.
    if ((await existing(stat(join(folder, path)))) !== undefined) {
      count.kept += 1;
      continue;
    }
    const bytes = await require(source, path);
    if (index === 0 && bytes.length !== tileBytes(tile.width)) {
      throw new Fault(`${path} has ${bytes.length} bytes instead of ${tileBytes(tile.width)}`);
    }
    await write(folder, path, bytes);
    count.written += 1;
  }
  return count;
}

/** Partial tiles of the tree before that are wider now, or full. */
async function removeOutgrown(folder: string, before: number, now: number): Promise<void> {
  for (const tile of tilesOfTree(before)) {
    if (tile.width === TILE_WIDTH || widestTile(tile.level, tile.index, now).width === tile.width) continue;
    for (const path of [tilePath(tile), ...(tile.level === 0 ? [bundlePath(tile)] : [])]) {
      await rm(join(folder, path), { force: true });
      // The folder of partial tiles stays while there are others.
      await rmdir(dirname(join(folder, path))).catch(() => undefined);
    }
  }
}

async function write(folder: string, path: string, bytes: Buffer): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await replaceFile(join(folder, path), bytes, PUBLIC_FILE);
}
