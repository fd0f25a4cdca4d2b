/** What is wrong with one line of the file; the others can be imported none the less. */
export class LineFailure extends Error {
  override readonly name = 'LineFailure';
}

/** Whether the value is an object with members: not null, not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
