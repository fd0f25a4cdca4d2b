import canonicalize from 'canonicalize';

/**
 * A JSON value as RFC 8785 writes it: without spaces, members in the order of their names' UTF-16 code units. Throws on
 * what JSON cannot hold.
 */
export function canonicalText(value: unknown): string {
  // All else that RFC 8785 asks for is how JSON.stringify writes: it takes both from ECMAScript.
  const text = JSON.stringify(isInOrder(value) ? value : inOrder(value)) as string | undefined;
  // Names such as "10" JavaScript lists before all others, in whatever order they were given.
  const canonical = text !== undefined && !/"\d+":/.test(text) ? text : canonicalize(value);
  if (canonical === undefined) throw new TypeError('Not a JSON value');
  return canonical;
}

/** The same in UTF-8. */
export function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(canonicalText(value));
}

/** Whether the members of each object are in order, as where the state of a new order is written down. */
function isInOrder(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) {
    requireJson(value);
    return true;
  }
  if (Array.isArray(value)) return value.every(isInOrder);
  const members = value as Record<string, unknown>;
  if (typeof members.toJSON === 'function') return true;
  let previous = '';
  for (const name of Object.keys(members)) {
    requireJson(name);
    if (name < previous || !isInOrder(members[name])) return false;
    previous = name;
  }
  return true;
}

/** The value with the members of each object in order. */
function inOrder(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) {
    requireJson(value);
    return value;
  }
  if (Array.isArray(value)) return value.map(inOrder);
  const members = value as Record<string, unknown>;
  if (typeof members.toJSON === 'function') return value;
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(members).sort()) {
    requireJson(name);
    const member = inOrder(members[name]);
    // By this name one would set the prototype.
    if (name === '__proto__') Object.defineProperty(copy, name, { value: member, enumerable: true });
    else copy[name] = member;
  }
  return copy;
}

/** Throws on text and numbers that JSON cannot hold. */
function requireJson(value: unknown): void {
  if (typeof value === 'string' && !value.isWellFormed()) throw new TypeError('Half of a surrogate pair');
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} is not in JSON`);
}
