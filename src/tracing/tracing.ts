import type { Attributes, Link, Span } from '@opentelemetry/api';

/** What a span says from its beginning. Neither attributes nor names may hold values, addresses or personal data. */
export interface SpanStart {
  readonly name: string;
  readonly kind?: 'server' | 'client' | 'internal';
  readonly attributes?: Attributes;
  readonly links?: readonly Link[];
}

/** Headers as Node.js reads them. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What traces, where somebody listens. */
export interface Tracing {
  /** The span that the running code works for. */
  current(): Span | undefined;
  /** Begins a span below another; with the headers of a request in the trace of its caller; else a new trace. */
  begin(start: SpanStart, below?: Span | { readonly headers: Headers }): Span;
  /** Runs `work`, and whatever it begins, for `span`, or for none. */
  within<T>(span: Span | undefined, work: () => T): T;
  /** Gives a span the status of what has failed. */
  fail(span: Span): void;
  /** What tells the receiver of a request about the span that it is sent for. */
  headersOf(span: Span): Record<string, string>;
}

let tracing: Tracing | undefined;

/** From now on this process traces. The OpenTelemetry packages come with it: without, none is loaded. */
export function traceWith(chosen: Tracing): void {
  tracing = chosen;
}

/** What traces; undefined where nobody listens. */
export function activeTracing(): Tracing | undefined {
  return tracing;
}

/** The span that the running code works for; undefined where there is none. */
export function currentSpan(): Span | undefined {
  return tracing?.current();
}

/** The id of a span's trace, 32 hexadecimal digits. */
export function traceIdOf(span: Span | undefined): string | undefined {
  return span?.spanContext().traceId;
}

/** Headers of a request to another service, so that it can go on with the trace; none where there is no trace. */
export function outgoingHeaders(): Record<string, string> {
  const span = tracing?.current();
  return tracing === undefined || span === undefined ? {} : tracing.headersOf(span);
}

/** Runs `work` in a span below the current one, or in a new trace. Throws what `work` throws. */
export async function traced<T>(start: SpanStart, work: () => Promise<T>): Promise<T> {
  if (tracing === undefined) return work();
  const span = tracing.begin(start, tracing.current());
  return finishing(tracing, span, work);
}

/**
 * Runs `work` in a span for all who share it. It belongs to the trace of the first of them that is recorded; links lead
 * from it to each of them, and back. Where nobody of them has a span, `work` has none either.
 */
export async function tracedTogether<T>(
  start: SpanStart,
  sharers: readonly (Span | undefined)[],
  work: () => Promise<T>,
): Promise<T> {
  if (tracing === undefined) return work();
  const spans = [...new Set(sharers)].filter((span) => span !== undefined);
  const first = spans.find((span) => span.isRecording());
  if (first === undefined) return tracing.within(undefined, work);
  const links = spans.map((span) => ({ context: span.spanContext() }));
  const shared = tracing.begin({ ...start, links }, first);
  for (const span of spans) span.addLink({ context: shared.spanContext() });
  return finishing(tracing, shared, work);
}

/** Says in a span that its work has failed, by the name or the SQLSTATE of the error: its message can quote values. */
export function tellFailure(span: Span, error: unknown): void {
  const code: unknown = Error.isError(error) ? Reflect.get(error, 'code') : undefined;
  const isSqlState = typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code);
  if (isSqlState) span.setAttribute('db.response.status_code', code);
  span.setAttribute('error.type', isSqlState ? code : Error.isError(error) ? error.name : typeof error);
  tracing?.fail(span);
}

async function finishing<T>(by: Tracing, span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await by.within(span, work);
  } catch (error) {
    tellFailure(span, error);
    throw error;
  } finally {
    span.end();
  }
}
