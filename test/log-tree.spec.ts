import { describe, expect, it } from '@jest/globals';
import {
  bundlePath,
  hashesOnLevel,
  isWithin,
  parseLevel,
  parsePlace,
  tilePath,
  tilesOfTree,
} from '../src/audit/log/tiles.js';
import {
  EMPTY_ROOT,
  foldRoots,
  leafHash,
  type Node,
  nodesOfConsistency,
  nodesOfInclusion,
  nodesOfRoot,
  verifyConsistency,
  verifyInclusion,
} from '../src/audit/log/tree.js';
import { type Claim, flipBit, mutations } from './support/mutations.js';
import { referenceLeaf, ReferenceTree } from './support/reference-tree.js';

const LARGEST = 130;
const RANDOM_SIZES = 1_000;

const tree = new ReferenceTree((index) => referenceLeaf(Buffer.from(`leaf ${index}`)));
/** 2^20 leaves and more, of which 2^14 are different. */
const forest = new ReferenceTree((index) => referenceLeaf(Buffer.from(`tree ${index}`)), 2 ** 14);
const rootOf = (size: number) => tree.root(size);

/** A proof's hashes, made from subtrees that the reference knows. */
const hashesFromNodes = (source: ReferenceTree, path: readonly (readonly Node[])[]) =>
  path.map((nodes) =>
    foldRoots(
      nodes.map(({ height, position }) =>
        source.hashOf(position * 2 ** height, (position + 1) * 2 ** height),
      ),
    ),
  );
const same = (one: readonly Buffer[], other: readonly Buffer[]) =>
  one.length === other.length && Buffer.concat(one).equals(Buffer.concat(other));

describe('the tree', () => {
  it('has the roots that are published with RFC 6962 for one to eight leaves', () => {
    const leaves = [
      '',
      '00',
      '10',
      '2021',
      '3031',
      '40414243',
      '5051525354555657',
      '606162636465666768696a6b6c6d6e6f',
    ];
    const published = [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    ];
    const entries = leaves.map((leaf) => Buffer.from(leaf, 'hex'));
    const published8 = new ReferenceTree((index) => leafHash(entries[index] ?? Buffer.alloc(0)));
    const roots = published.map((_, index) => ({
      folded: foldRoots(
        nodesOfRoot(index + 1).map(({ height, position }) =>
          published8.hashOf(position * 2 ** height, (position + 1) * 2 ** height),
        ),
      ).toString('hex'),
      reference: published8.root(index + 1).toString('hex'),
    }));
    expect(roots).toEqual(published.map((root) => ({ folded: root, reference: root })));
    expect(EMPTY_ROOT.toString('hex')).toBe(
      'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    );
  });

  it(`proves every leaf of every tree of up to ${LARGEST}, with the hashes of the reference`, () => {
    let proven = 0;
    for (let size = 1; size <= LARGEST; size++) {
      for (let index = 0; index < size; index++) {
        const hashes = hashesFromNodes(tree, nodesOfInclusion(index, size));
        const leaf = tree.hashOf(index, index + 1);
        const isProven = verifyInclusion(leaf, index, size, hashes, tree.root(size));
        if (!isProven || !same(hashes, tree.path(index, size))) throw new Error(`Leaf ${index} of ${size}`);
        proven += 1;
      }
    }
    expect(proven).toBe((LARGEST * (LARGEST + 1)) / 2);
  });

  it(`proves that every tree of up to ${LARGEST} continues every smaller one`, () => {
    let proven = 0;
    for (let second = 1; second <= LARGEST; second++) {
      expect(verifyConsistency(0, second, [], tree.root(0), tree.root(second))).toBe(true);
      for (let first = 1; first <= second; first++) {
        const hashes = hashesFromNodes(tree, nodesOfConsistency(first, second));
        const isProven = verifyConsistency(first, second, hashes, tree.root(first), tree.root(second));
        if (!isProven || !same(hashes, tree.proof(first, second))) throw new Error(`${first} of ${second}`);
        proven += 1;
      }
    }
    expect(proven).toBe((LARGEST * (LARGEST + 1)) / 2);
  });

  it(`does the same for ${RANDOM_SIZES} random sizes of up to 2^20`, () => {
    let proven = 0;
    for (let round = 0; round < RANDOM_SIZES; round++) {
      const size = 2 + Math.floor(Math.random() * (2 ** 20 - 1));
      const index = Math.floor(Math.random() * size);
      const first = 1 + Math.floor(Math.random() * size);
      const root = forest.root(size);
      const path = hashesFromNodes(forest, nodesOfInclusion(index, size));
      const proof = hashesFromNodes(forest, nodesOfConsistency(first, size));
      const leaf = forest.hashOf(index, index + 1);
      const isProven =
        verifyInclusion(leaf, index, size, path, root) &&
        verifyConsistency(first, size, proof, forest.root(first), root);
      const isSame = same(path, forest.path(index, size)) && same(proof, forest.proof(first, size));
      if (!isProven || !isSame) throw new Error(`Leaf ${index}, or the first ${first}, of ${size}`);
      proven += 1;
    }
    expect(proven).toBe(RANDOM_SIZES);
  });

  it.each(Object.entries(mutations))('refuses a proof of inclusion with %s', (_name, mutate) => {
    let refused = 0;
    for (let size = 1; size < LARGEST; size++) {
      for (let index = 0; index < size; index++) {
        const claim = mutate({ index, size, hashes: tree.path(index, size), root: tree.root(size) }, rootOf);
        if (claim === undefined) continue;
        const leaf = tree.hashOf(index, index + 1);
        if (verifyInclusion(leaf, claim.index, claim.size, claim.hashes, claim.root)) {
          throw new Error(`Accepted leaf ${index} of ${size}`);
        }
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(8_000);
  });

  it.each(Object.entries(mutations))('refuses a proof of consistency with %s', (name, mutate) => {
    let refused = 0;
    for (let second = 2; second < LARGEST; second++) {
      for (let first = 1; first < second; first++) {
        // The index stands for the size of the smaller tree: a wrong one comes with the root of that size.
        const told: Claim = {
          index: first,
          size: second,
          hashes: tree.proof(first, second),
          root: tree.root(second),
        };
        const claim = mutate(told, rootOf);
        if (claim === undefined || claim.index === 0) continue;
        const root = name === 'a wrong index' ? tree.root(claim.index) : tree.root(first);
        if (verifyConsistency(claim.index, claim.size, claim.hashes, root, claim.root)) {
          throw new Error(`Accepted ${first} of ${second}`);
        }
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(7_000);
  });

  it('refuses another root, another leaf, and what is out of range', () => {
    const [root, leaf, path] = [tree.root(11), tree.hashOf(4, 5), tree.path(4, 11)];
    expect(verifyInclusion(leaf, 4, 11, path, root)).toBe(true);
    expect(verifyInclusion(leaf, 4, 11, path, flipBit(root, 255))).toBe(false);
    expect(verifyInclusion(flipBit(leaf), 4, 11, path, root)).toBe(false);
    for (const index of [-1, 11, 0.5, NaN]) expect(verifyInclusion(leaf, index, 11, path, root)).toBe(false);
    expect(verifyConsistency(5, 4, [], tree.root(5), tree.root(4))).toBe(false);
    expect(verifyConsistency(0, 4, [root], tree.root(0), tree.root(4))).toBe(false);
    expect(() => nodesOfInclusion(0, 0)).toThrow(RangeError);
    expect(() => nodesOfConsistency(0, 4)).toThrow(RangeError);
    expect(() => nodesOfConsistency(5, 4)).toThrow(RangeError);
  });
});

describe('tiles', () => {
  const paths: [string, number, number][] = [
    ['000', 0, 256],
    ['067', 67, 256],
    ['x001/x234/067', 1_234_067, 256],
    ['x001/000.p/1', 1_000, 1],
    ['999.p/255', 999, 255],
  ];

  it.each(paths)('%s is a place, and written so', (text, index, width) => {
    expect(parsePlace(text)).toEqual({ index, width });
    expect(tilePath({ level: 3, index, width })).toBe(`tile/3/${text}`);
    expect(bundlePath({ index, width })).toBe(`tile/entries/${text}`);
  });

  it.each([
    '',
    '0',
    '00',
    '0000',
    '1234',
    'x000/001',
    'x001/67',
    '001/067',
    'x001/x067',
    '067.p/0',
    '067.p/01',
    '067.p/256',
    '067.p/',
    '067.p',
    '067.P/1',
    '067/',
    '/067',
    ' 067',
    '067\n',
    '٠٦٧',
    'x999/x999/x999/x999/x999/999',
    '../067',
  ])('%j is no place', (text) => {
    expect(parsePlace(text)).toBeUndefined();
  });

  it('have levels from 0 to 63', () => {
    expect(['0', '1', '63'].map(parseLevel)).toEqual([0, 1, 63]);
    expect(['64', '00', '01', '-1', '', 'x', '1.0', '100'].map(parseLevel)).toEqual(Array(8).fill(undefined));
  });

  it('make up a tree of 70,000 as the specification counts them', () => {
    const tiles = [...tilesOfTree(70_000)];
    const count = (level: number, full: boolean) =>
      tiles.filter((tile) => tile.level === level && (tile.width === 256) === full).length;
    expect([count(0, true), count(1, true), count(2, true)]).toEqual([273, 1, 0]);
    const partial = tiles.filter((tile) => tile.width < 256);
    expect(partial.map(tilePath)).toEqual(['tile/0/273.p/112', 'tile/1/001.p/17', 'tile/2/000.p/1']);
    expect([...tilesOfTree(256)].map(tilePath)).toEqual(['tile/0/000', 'tile/1/000.p/1']);
    expect([...tilesOfTree(0)]).toEqual([]);
  });

  it('are within a tree, or not', () => {
    expect(isWithin({ level: 0, index: 273, width: 112 }, 70_000)).toBe(true);
    expect(isWithin({ level: 0, index: 273, width: 113 }, 70_000)).toBe(false);
    expect(isWithin({ level: 1, index: 0, width: 256 }, 65_535)).toBe(false);
    expect(isWithin({ level: 1, index: 0, width: 256 }, 65_536)).toBe(true);
    expect(isWithin({ level: 63, index: 0, width: 1 }, 2 ** 53 - 1)).toBe(false);
    expect(hashesOnLevel(0, 70_000)).toBe(70_000);
  });
});
