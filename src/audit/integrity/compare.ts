import { isDeepStrictEqual } from 'node:util';
import { pointerToken } from '../../problems/pointer.js';
import { type Finding, finding, type FindingCode } from './finding.js';

type Path = readonly (string | number)[];
interface Difference {
  readonly path: Path;
  readonly expected: unknown;
  readonly actual: unknown;
}

/**
 * The members of a subject's state, as JSON pointers with `*` for any index: those whose values an auditor may see, and
 * those of which only the place is named. What is not listed is told as a difference of what it stands in.
 */
export class Places {
  /** Whether the value may be seen, by place. */
  private readonly known = new Map<string, boolean>();

  constructor({ shown, hidden }: { readonly shown: readonly string[]; readonly hidden: readonly string[] }) {
    for (const place of [...shown, ...hidden]) {
      const steps = place.split('/');
      for (let end = 1; end <= steps.length; end++) this.known.set(steps.slice(0, end).join('/'), false);
    }
    for (const place of shown) this.known.set(place, true);
  }

  /** Whether two states are alike: one finding for each place where they are not. */
  compare(code: FindingCode, expected: unknown, actual: unknown): Finding[] {
    // Nearly always; finding out where is what costs.
    if (isDeepStrictEqual(expected, actual)) return [];
    const findings = new Map<string, Finding>();
    for (const difference of differences(expected, actual, [])) {
      const found = this.describe(code, difference);
      if (!findings.has(found.where)) findings.set(found.where, found);
    }
    return [...findings.values()];
  }

  private describe(code: FindingCode, { path, expected, actual }: Difference): Finding {
    for (let end = path.length; end > 0; end--) {
      const shown = this.known.get(pointer(path.slice(0, end), '*'));
      if (shown === undefined) continue;
      const values = shown && end === path.length ? { expected, actual } : {};
      return finding(code, pointer(path.slice(0, end)), values);
    }
    return finding(code, '');
  }
}

function* differences(expected: unknown, actual: unknown, path: Path): Generator<Difference> {
  if (Array.isArray(expected) && Array.isArray(actual)) {
    const length = Math.max(expected.length, actual.length);
    for (let index = 0; index < length; index++) {
      yield* differences(expected[index], actual[index], [...path, index]);
    }
  } else if (isObject(expected) && isObject(actual)) {
    for (const name of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
      yield* differences(own(expected, name), own(actual, name), [...path, name]);
    }
  } else if (expected !== actual) {
    yield { path, expected, actual };
  }
}

function pointer(path: Path, index?: string): string {
  return path.map((step) => `/${typeof step === 'number' ? (index ?? step) : pointerToken(step)}`).join('');
}

function own(object: Record<string, unknown>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
