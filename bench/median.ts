/** The median; NaN of nothing. */
export function median(values: readonly number[]): number {
  const ascending = [...values].sort((a, b) => a - b);
  const middle = ascending.length / 2;
  const low = ascending[Math.ceil(middle) - 1] ?? NaN;
  const high = ascending[Math.floor(middle)] ?? NaN;
  return (low + high) / 2;
}
