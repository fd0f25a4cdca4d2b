import { AsyncResource } from 'node:async_hooks';
import type { Span } from '@opentelemetry/api';
import pg from 'pg';
import { activeTracing, tellFailure } from './tracing.js';

type Callback = (error: unknown, ...rest: unknown[]) => unknown;
type Method = (this: unknown, ...values: unknown[]) => unknown;

/**
 * Gives each query of node-postgres, whoever sends it, a span below the one that it is sent for; what belongs to none,
 * as the looks of the sealer, has none. Its text is told, values never.
 */
export function tracePostgres(): void {
  const client = pg.Client.prototype as { query: Method };
  client.query = tracingQuery(client.query);
  const pool = pg.Pool.prototype as { connect: Method };
  pool.connect = bindingConnect(pool.connect);
}

function tracingQuery(query: Method): Method {
  return function (...values) {
    const span = begin(values[0]);
    if (span === undefined) return query.apply(this, values);
    const end = (error?: unknown) => {
      if (error !== undefined && error !== null) tellFailure(span, error);
      span.end();
    };
    const callback = values.at(-1);
    if (typeof callback === 'function') {
      const telling: Callback = (error, ...rest) => {
        end(error);
        return (callback as Callback)(error, ...rest);
      };
      return query.apply(this, [...values.slice(0, -1), telling]);
    }
    const answer = query.apply(this, values);
    if (answer instanceof Promise) void answer.then(() => end(), end);
    else end();
    return answer;
  };
}

/** A connection of the pool is handed over while somebody else gives it back: what follows is still the asker's. */
function bindingConnect(connect: Method): Method {
  return function (...values) {
    const [callback] = values;
    if (typeof callback !== 'function') return connect.apply(this, values);
    return connect.call(this, AsyncResource.bind(callback as Callback));
  };
}

/** A query is known by the name of its statement, or else by its first word. */
function begin(query: unknown): Span | undefined {
  const tracing = activeTracing();
  const parent = tracing?.current();
  if (tracing === undefined || parent?.isRecording() !== true) return undefined;
  const { text, name } = describe(query);
  const operation = /^\s*(\w+)/.exec(text)?.[1]?.toUpperCase() ?? 'query';
  return tracing.begin(
    {
      name: name ?? operation,
      kind: 'client',
      attributes: {
        'db.system.name': 'postgresql',
        'db.operation.name': operation,
        'db.query.text': text,
      },
    },
    parent,
  );
}

function describe(query: unknown): { text: string; name: string | undefined } {
  if (typeof query === 'string') return { text: query, name: undefined };
  if (typeof query !== 'object' || query === null) return { text: '', name: undefined };
  const { text, name } = query as { text?: unknown; name?: unknown };
  return { text: typeof text === 'string' ? text : '', name: typeof name === 'string' ? name : undefined };
}
