/**
 * Whether a member's name is one that every object has from birth, such as `__proto__` or `toString`: libraries drop
 * such a member without a word, or reach into the prototype.
 */
export function isReserved(name: string): boolean {
  return name in Object.prototype || name === 'prototype';
}
