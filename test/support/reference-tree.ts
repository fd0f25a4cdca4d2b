import { hash } from 'node:crypto';

/*
 * The tree as RFC 6962, section 2.1, writes it down: recursive, without a thought of storage, and without the service's
 * own code.
 */

const sha256 = (...parts: Uint8Array[]): Buffer => hash('sha256', Buffer.concat(parts), 'buffer');

/** Ranges that end before are kept, whether they are complete subtrees or not. */
const SMALL = 256;

/** The hash of the leaf that holds these bytes. */
export const referenceLeaf = (entry: Uint8Array): Buffer => sha256(Buffer.of(0), entry);

/** A tree over hashes of leaves, which `leaf` gives by their number. */
export class ReferenceTree {
  /** Hashes of complete subtrees and of small ranges: by their width, then by their first leaf. */
  private readonly known = new Map<number, Map<number, Buffer>>();

  /** With a `period`, a power of two, the leaves repeat after it, so that a tree of a million is quickly there. */
  constructor(
    private readonly leaf: (index: number) => Buffer,
    private readonly period = 2 ** 40,
  ) {}

  root(size: number): Buffer {
    return size === 0 ? sha256() : this.hashOf(0, size);
  }

  /** MTH(D[begin:end]). */
  hashOf(begin: number, end: number): Buffer {
    const width = end - begin;
    const isKept = end <= SMALL || (begin % width === 0 && Number.isInteger(Math.log2(width)));
    const key = begin % Math.max(this.period, width);
    const ofWidth = this.known.get(width) ?? new Map<number, Buffer>();
    const known = isKept ? ofWidth.get(key) : undefined;
    if (known !== undefined) return known;
    const middle = begin + split(width);
    const made =
      width === 1
        ? this.leaf(begin % this.period)
        : sha256(Buffer.of(1), this.hashOf(begin, middle), this.hashOf(middle, end));
    if (isKept) this.known.set(width, ofWidth.set(key, made));
    return made;
  }

  /** PATH(index, D[begin:end]). */
  path(index: number, end: number, begin = 0): Buffer[] {
    if (end - begin === 1) return [];
    const middle = begin + split(end - begin);
    return index < middle
      ? [...this.path(index, middle, begin), this.hashOf(middle, end)]
      : [...this.path(index, end, middle), this.hashOf(begin, middle)];
  }

  /** PROOF(first, D[second]). */
  proof(first: number, second: number): Buffer[] {
    return this.subProof(first, 0, second, true);
  }

  private subProof(first: number, begin: number, end: number, isWhole: boolean): Buffer[] {
    if (first === end) return isWhole ? [] : [this.hashOf(begin, end)];
    const middle = begin + split(end - begin);
    return first <= middle
      ? [...this.subProof(first, begin, middle, isWhole), this.hashOf(middle, end)]
      : [...this.subProof(first, middle, end, false), this.hashOf(begin, middle)];
  }
}

/** The largest power of two below `width`. */
function split(width: number): number {
  return 2 ** Math.ceil(Math.log2(width) - 1);
}
