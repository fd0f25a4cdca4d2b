import { describe, expect, it } from '@jest/globals';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import { canonicalText } from '../src/database/canonical.js';

/** Names that JavaScript treats in its own way, among any others. */
const name = fc.oneof(
  fc.constantFrom(
    '10',
    '9',
    '01',
    '-1',
    'a',
    'B',
    '__proto__',
    'toJSON',
    'constructor',
    'é',
    '\u{1f600}',
    '\ufb33',
  ),
  fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
);
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<unknown>(
      null,
      true,
      false,
      0,
      -0,
      1e21,
      1e-7,
      5e-324,
      2 ** 53,
      '\u0000\u001f"\\/\u007f\u2028',
    ),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    name,
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .uniqueArray(fc.tuple(name, tie('value')), { maxLength: 6, selector: ([unique]) => unique })
      .map((members): unknown => Object.fromEntries(members)),
  ),
}));

describe('Canonical JSON', () => {
  it('is what another implementation of RFC 8785 writes', () => {
    fc.assert(
      fc.property(value, (json) => {
        expect(canonicalText(json)).toBe(canonicalize(json));
      }),
      { numRuns: 2_000 },
    );
  });

  it('is the example of RFC 8785', () => {
    const example = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\u{1f600}': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect(canonicalText(example)).toBe(
      '{"\\r":"Carriage Return","1":"One","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis",' +
        '"\u20ac":"Euro Sign","\u{1f600}":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}',
    );
  });

  it.each([
    ['half a pair: \ud83d'],
    [{ deep: ['\udc00'] }],
    [{ '\ud83d': 1 }],
    [NaN],
    [{ a: Infinity }],
    [undefined],
    [1n],
  ])('refuses what JSON cannot hold', (impossible) => {
    expect(() => canonicalText(impossible)).toThrow(TypeError);
  });
});
