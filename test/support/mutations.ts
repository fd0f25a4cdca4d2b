/** What a proof of inclusion says. */
export interface Claim {
  readonly index: number;
  readonly size: number;
  readonly hashes: readonly Buffer[];
  readonly root: Buffer;
}

/** The ways in which a proof can be wrong, each with a claim made from a true one; undefined where it has no such way. */
export type Mutation = (claim: Claim, rootOf: (size: number) => Buffer) => Claim | undefined;

/** The same bytes but for one bit. */
export function flipBit(bytes: Buffer, bit = 0): Buffer {
  const flipped = Buffer.from(bytes);
  flipped[Math.floor(bit / 8)] = (flipped[Math.floor(bit / 8)] ?? 0) ^ (1 << (bit % 8));
  return flipped;
}

/** A proof and its checkpoint belong together: a wrong size comes with the root of that size. */
export const mutations: Record<string, Mutation> = {
  'a flipped bit': ({ hashes, ...rest }) => {
    const position = rest.index % Math.max(hashes.length, 1);
    const hash = hashes[position];
    return hash && { ...rest, hashes: hashes.with(position, flipBit(hash, (rest.index * 37) % 256)) };
  },
  'a hash too few': ({ hashes, ...rest }) =>
    hashes.length === 0 ? undefined : { ...rest, hashes: hashes.toSpliced(rest.size % hashes.length, 1) },
  'a hash too many': ({ hashes, ...rest }) => ({ ...rest, hashes: [...hashes, rest.root] }),
  'two hashes swapped': ({ hashes, ...rest }) => {
    const [first, second, ...others] = hashes;
    return first && second && { ...rest, hashes: [second, first, ...others] };
  },
  'a wrong index': (claim) =>
    claim.size === 1 ? undefined : { ...claim, index: (claim.index + 1) % claim.size },
  'a wrong size': (claim, rootOf) => ({ ...claim, size: claim.size + 1, root: rootOf(claim.size + 1) }),
};
