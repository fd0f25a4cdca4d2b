/*
 * Entry bundles (c2sp.org/tlog-tiles): entries one after the other, each behind its length as two bytes, the most
 * significant first.
 */

const LENGTH_BYTES = 2;

/** The entries, of at most 65,535 bytes each, as one bundle. */
export function formatBundle(entries: readonly Buffer[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}

/** The entries of a bundle; undefined when it is cut short. */
export function parseBundle(bundle: Buffer): Buffer[] | undefined {
  const entries: Buffer[] = [];
  for (let start = 0; start < bundle.length;) {
    if (start + LENGTH_BYTES > bundle.length) return undefined;
    const begin = start + LENGTH_BYTES;
    const end = begin + bundle.readUInt16BE(start);
    if (end > bundle.length) return undefined;
    entries.push(bundle.subarray(begin, end));
    start = end;
  }
  return entries;
}
