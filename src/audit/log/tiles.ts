/*
 * Tiles (c2sp.org/tlog-tiles): the tree in pieces of eight levels. A tile of level 0 holds hashes of leaves, one of
 * level L + 1 the roots of full tiles of level L. What lies between is hashed again by whoever reads a tile.
 */

/** Hashes in a full tile, and entries in a full bundle. */
export const TILE_WIDTH = 256;
export const HASH_LENGTH = 32;
const LEVELS = 64;

/** `width` (1-256) entries from number `index * 256` on; so far the same as a tile of level 0. */
export interface Bundle {
  readonly index: number;
  readonly width: number;
}

/** `width` hashes of a level (0-63) from number `index * 256` on. */
export interface Tile extends Bundle {
  readonly level: number;
}

/** `tile/0/x001/234` or, of a tile that is not full, `tile/0/x001/234.p/5`. */
export function tilePath({ level, ...place }: Tile): string {
  return `tile/${level}/${formatPlace(place)}`;
}

/** `tile/entries/x001/234`, or with `.p/5` as in {@link tilePath}. */
export function bundlePath(bundle: Bundle): string {
  return `tile/entries/${formatPlace(bundle)}`;
}

/** Reads the level of a tile's path; undefined for everything but 0 to 63 without leading zeroes. */
export function parseLevel(text: string): number | undefined {
  const level = /^(0|[1-9]\d?)$/.test(text) ? Number(text) : LEVELS;
  return level < LEVELS ? level : undefined;
}

/** Reads the end of a path, `x001/234` or `x001/234.p/5`; undefined for every other spelling. */
export function parsePlace(text: string): Bundle | undefined {
  const [, number = '', width = '256'] = /^((?:x\d{3}\/)*\d{3})(?:\.p\/(\d{1,3}))?$/.exec(text) ?? [];
  const place = { index: Number(number.replace(/[x/]/g, '')), width: Number(width) };
  // Written again, what has another spelling (or is too large for a number) is different.
  return number !== '' && formatPlace(place) === text ? place : undefined;
}

function formatPlace({ index, width }: Bundle): string {
  const digits = String(index);
  const elements = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  const path = elements.map((element, position) =>
    position < elements.length - 1 ? `x${element}` : element,
  );
  const isPartial = width >= 1 && width < TILE_WIDTH;
  return path.join('/') + (isPartial ? `.p/${width}` : '');
}

/** How many hashes the tree of `size` leaves has on a level. */
export function hashesOnLevel(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/** Whether all of the tile lies within the tree of `size` leaves. */
export function isWithin({ level, index, width }: Tile, size: number): boolean {
  return index * TILE_WIDTH + width <= hashesOnLevel(level, size);
}

/** The tile of a place as wide as the tree of `size` leaves has it; its width is 0 where it has none. */
export function widestTile(level: number, index: number, size: number): Tile {
  const width = hashesOnLevel(level, size) - index * TILE_WIDTH;
  return { level, index, width: Math.min(TILE_WIDTH, Math.max(0, width)) };
}

/** Every tile of the tree of `size` leaves, level by level, each from the left. */
export function* tilesOfTree(size: number): Generator<Tile> {
  for (let level = 0; hashesOnLevel(level, size) > 0; level += 1) {
    const tiles = Math.ceil(hashesOnLevel(level, size) / TILE_WIDTH);
    for (let index = 0; index < tiles; index += 1) yield widestTile(level, index, size);
  }
}

/** The hashes of a tile, each a view of its bytes. */
export function splitHashes(hashes: Buffer): Buffer[] {
  const count = Math.floor(hashes.length / HASH_LENGTH);
  return Array.from({ length: count }, (_, index) =>
    hashes.subarray(index * HASH_LENGTH, (index + 1) * HASH_LENGTH),
  );
}
