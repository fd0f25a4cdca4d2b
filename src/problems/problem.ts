import { type ProblemCode, problemKinds } from './catalogue.js';

/** One fault in a body (`pointer`, RFC 6901) or in the query (`parameter`). */
export interface Fault {
  readonly pointer?: string;
  readonly parameter?: string;
  readonly code: string;
  readonly detail: string;
}

interface ProblemOptions {
  readonly errors?: readonly Fault[];
  /** Members beside RFC 9457's own, such as `currentVersion`. */
  readonly members?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A failure that the client is told about: code, detail and whatever helps to mend it. RFC 9457. */
export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly errors: readonly Fault[] | undefined;
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    readonly code: ProblemCode,
    readonly detail: string,
    options: ProblemOptions = {},
  ) {
    super(`${code}: ${detail}`);
    this.name = 'Problem';
    this.status = problemKinds[code].status;
    this.title = problemKinds[code].title;
    this.errors = options.errors;
    this.members = options.members ?? {};
    this.headers = options.headers ?? {};
  }

  /** The body as RFC 9457 writes it; `requestId` is a UUID, `traceId` 32 hexadecimal digits while there is a trace. */
  toBody(requestId: string, traceId?: string): Record<string, unknown> {
    return {
      type: `/problems/${this.code}`,
      title: this.title,
      status: this.status,
      detail: this.detail,
      instance: `urn:uuid:${requestId}`,
      code: this.code,
      ...(traceId !== undefined && { traceId }),
      ...this.members,
      ...(this.errors && { errors: this.errors }),
    };
  }
}

/** The one answer for an absent subject, a malformed id and somebody else's. */
export function notFound(): Problem {
  return new Problem('not-found', 'There is nothing at this address.');
}

/** As many faults as one answer lists: a body of 1 MB can hold 100,000. */
const MOST_FAULTS = 100;

/** Wrong content of a body, one fault per place; the first hundred are listed. */
export function invalid(errors: readonly Fault[]): Problem {
  const [first] = errors;
  const listed = errors.length > MOST_FAULTS ? `, of which ${MOST_FAULTS} are listed` : '';
  const detail =
    errors.length === 1 && first ? first.detail : `The body has ${errors.length} faults${listed}.`;
  return new Problem('validation-failed', detail, { errors: errors.slice(0, MOST_FAULTS) });
}

/** The service or its database cannot answer now; a retry is safe. */
export function unavailable(detail = 'The service cannot answer now.', retryAfterSeconds = 1): Problem {
  return new Problem('unavailable', detail, { headers: { 'Retry-After': String(retryAfterSeconds) } });
}
