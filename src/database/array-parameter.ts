/** The type `bytea` (pg_type.dat). */
const BYTEA = 17;
/** Dimensions, whether there are NULLs, the type of the elements, how many, and the number of the first. */
const HEADER_BYTES = 20;

/**
 * An array of one dimension as PostgreSQL reads it; null and undefined are NULL. The driver would write it with two
 * replacements for every element, and bytes in hexadecimal digits.
 */
export function arrayParameter(elements: readonly unknown[]): string | Buffer {
  return elements.some(isBytes)
    ? binaryArray(elements.map(bytesOrNull))
    : `{${elements.map(elementLiteral).join(',')}}`;
}

/** The binary format of `bytea[]`, as `array_recv` reads it (src/backend/utils/adt/arrayfuncs.c). */
function binaryArray(elements: readonly (Buffer | null)[]): Buffer {
  const size = elements.reduce((sum, element) => sum + 4 + (element?.length ?? 0), HEADER_BYTES);
  const array = Buffer.allocUnsafe(size);
  const header = [1, elements.includes(null) ? 1 : 0, BYTEA, elements.length, 1];
  let end = header.reduce((offset, word) => array.writeInt32BE(word, offset), 0);
  for (const element of elements) {
    end = array.writeInt32BE(element?.length ?? -1, end);
    if (element !== null) end += element.copy(array, end);
  }
  return array;
}

function isBytes(element: unknown): element is Buffer {
  return Buffer.isBuffer(element);
}

function bytesOrNull(element: unknown): Buffer | null {
  if (isBytes(element)) return element;
  if (element === null || element === undefined) return null;
  throw new TypeError('An array of bytes holds nothing else');
}

function elementLiteral(element: unknown): string {
  if (element === null || element === undefined) return 'NULL';
  if (typeof element === 'number' || typeof element === 'bigint') return String(element);
  if (element instanceof Date) return `"${element.toISOString()}"`;
  const text = typeof element === 'string' ? element : JSON.stringify(element);
  // Most are identifiers and times. Without quotes the word NULL would stand for none.
  const isBare = /^[\w.:+-]+$/.test(text) && text.length !== 4;
  return isBare ? text : `"${text.replace(/["\\]/g, '\\$&')}"`;
}
