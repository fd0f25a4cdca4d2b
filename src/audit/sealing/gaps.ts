/** Sequence numbers from `first` to `last`, both included. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

/** The numbers of a range without those that are `present`, which lie in it, ascending; as ranges, ascending. */
export function without(range: Range, present: readonly number[]): Range[] {
  const missing: Range[] = [];
  let next = range.first;
  for (const number of present) {
    if (number > next) missing.push({ first: next, last: number - 1 });
    next = number + 1;
  }
  if (next <= range.last) missing.push({ first: next, last: range.last });
  return missing;
}
