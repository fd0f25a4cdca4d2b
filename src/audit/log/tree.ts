import { hash } from 'node:crypto';

/*
 * The Merkle tree of RFC 6962, section 2.1 (the same in RFC 9162), without any storage. Sizes and positions are
 * integers below 2^53; hashes are 32 bytes.
 */

/** The root of a complete subtree: of the leaves from position * 2^height on, 2^height of them. */
export interface Node {
  readonly height: number;
  readonly position: number;
}

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** The root of a tree without leaves. */
export const EMPTY_ROOT = sha256(Buffer.alloc(0));

/** SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Buffer {
  return sha256(Buffer.concat([LEAF, entry]));
}

/** SHA-256(0x01 || left || right). */
function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(Buffer.concat([NODE, left, right]));
}

/** The complete subtrees that make up the tree of the first `size` leaves, from the left, each larger than the next. */
export function nodesOfRoot(size: number): Node[] {
  return nodesOf(0, size);
}

/** The root over neighbouring complete subtrees, given from the left, each larger than the next. */
export function foldRoots(roots: readonly Buffer[]): Buffer {
  if (roots.length === 0) return EMPTY_ROOT;
  return roots.reduceRight((right, left) => nodeHash(left, right));
}

/** The root over the leaves, or over equal complete subtrees, of which these are the hashes: a power of two of them. */
export function completeRoot(hashes: readonly Buffer[]): Buffer {
  const [root, right] = hashes;
  if (root === undefined || !isPowerOfTwo(hashes.length)) throw new RangeError('no complete tree');
  if (right === undefined) return root;
  const above: Buffer[] = [];
  hashes.forEach((hash, index) => {
    const left = hashes[index - 1];
    if (left !== undefined && isOdd(index)) above.push(nodeHash(left, hash));
  });
  return completeRoot(above);
}

/**
 * What proves that leaf `index` is in the tree of the first `size`: for each hash of the proof, from the leaf upwards,
 * the subtrees that `foldRoots` makes it from. Throws RangeError unless 0 <= index < size.
 */
export function nodesOfInclusion(index: number, size: number): Node[][] {
  if (!(index >= 0 && index < size)) throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  const path: Node[][] = [];
  for (let begin = 0, end = size; end - begin > 1;) {
    const middle = begin + largestPowerBelow(end - begin);
    if (index < middle) {
      path.push(nodesOf(middle, end));
      end = middle;
    } else {
      path.push(nodesOf(begin, middle));
      begin = middle;
    }
  }
  return path.reverse();
}

/**
 * What proves that the tree of the first `second` leaves continues that of the first `first`, as in
 * {@link nodesOfInclusion}. Throws RangeError unless 1 <= first <= second.
 */
export function nodesOfConsistency(first: number, second: number): Node[][] {
  if (!(first >= 1 && first <= second)) throw new RangeError(`no proof from ${first} to ${second}`);
  const path: Node[][] = [];
  let begin = 0;
  let end = second;
  while (end !== first) {
    const middle = begin + largestPowerBelow(end - begin);
    if (first <= middle) {
      path.push(nodesOf(middle, end));
      end = middle;
    } else {
      path.push(nodesOf(begin, middle));
      begin = middle;
    }
  }
  // The verifier knows the first root; a subtree inside of it has to be told.
  if (begin > 0) path.push(nodesOf(begin, end));
  return path.reverse();
}

/** Whether `proof` shows `leaf` at `index` of the tree of `size` leaves with this root (RFC 9162, section 2.1.3.2). */
export function verifyInclusion(
  leaf: Buffer,
  index: number,
  size: number,
  proof: readonly Buffer[],
  root: Buffer,
): boolean {
  if (!(Number.isInteger(index) && index >= 0 && index < size)) return false;
  const sides = sidesOf(index, size, proof.length);
  return sides !== undefined && climb(leaf, proof, sides).equals(root);
}

/**
 * Whether `proof` shows that the tree of `second` leaves continues that of `first` (RFC 9162, section 2.1.4.2). Every
 * tree continues the empty one, with an empty proof.
 */
export function verifyConsistency(
  first: number,
  second: number,
  proof: readonly Buffer[],
  firstRoot: Buffer,
  secondRoot: Buffer,
): boolean {
  if (!(first >= 0 && first <= second)) return false;
  if (first === 0) return proof.length === 0 && firstRoot.equals(EMPTY_ROOT);
  if (first === second) return proof.length === 0 && firstRoot.equals(secondRoot);
  // Of a complete tree the verifier knows the only hash that the proof would begin with.
  const [start, ...rest] = isPowerOfTwo(first) ? [firstRoot, ...proof] : proof;
  if (start === undefined) return false;
  let position = first - 1;
  let last = second - 1;
  while (isOdd(position)) [position, last] = [half(position), half(last)];
  const sides = sidesOf(position, last + 1, rest.length);
  if (sides === undefined) return false;
  // What stands on the right came later.
  const earlier = rest.filter((_, step) => sides[step] === 'left');
  const before = earlier.reduce((current, sibling) => nodeHash(sibling, current), start);
  return before.equals(firstRoot) && climb(start, rest, sides).equals(secondRoot);
}

/** On which side of the way up from a leaf each hash of a proof stands; undefined unless it takes `count` of them. */
function sidesOf(index: number, size: number, count: number): ('left' | 'right')[] | undefined {
  const sides: ('left' | 'right')[] = [];
  let position = index;
  let last = size - 1;
  while (last > 0 && sides.length < count) {
    const side = isOdd(position) || position === last ? 'left' : 'right';
    sides.push(side);
    // At the right edge, levels without a sibling are passed over.
    while (side === 'left' && !isOdd(position) && position !== 0) {
      [position, last] = [half(position), half(last)];
    }
    [position, last] = [half(position), half(last)];
  }
  return last === 0 && sides.length === count ? sides : undefined;
}

/** The root that follows from a hash and its siblings, the lowest first. */
function climb(from: Buffer, siblings: readonly Buffer[], sides: readonly ('left' | 'right')[]): Buffer {
  return siblings.reduce(
    (current, sibling, step) =>
      sides[step] === 'left' ? nodeHash(sibling, current) : nodeHash(current, sibling),
    from,
  );
}

/** The complete subtrees over the leaves from `begin` to before `end`, a range of which the tree has a node. */
function nodesOf(begin: number, end: number): Node[] {
  const nodes: Node[] = [];
  for (let start = begin; start < end;) {
    const width = largestPowerBelow(end - start + 1);
    nodes.push({ height: Math.log2(width), position: start / width });
    start += width;
  }
  return nodes;
}

/** The largest power of two below `n`, which is at least 2. Bit operators would stop at 2^31. */
function largestPowerBelow(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n));
}

function isOdd(n: number): boolean {
  return n % 2 === 1;
}

function half(n: number): number {
  return Math.floor(n / 2);
}

function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}
