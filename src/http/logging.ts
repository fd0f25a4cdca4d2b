import type { Params } from 'nestjs-pino';
import type { LoggerOptions } from 'pino';
import { QueryFailedError } from 'typeorm';
import type { ServiceConfig } from '../config/config.js';
import { lineFormat } from '../config/line-format.js';
import { brokenConstraint, sqlState } from '../database/sqlstate.js';
import { currentSpan, traceIdOf } from '../tracing/tracing.js';

/** A request in one short line. */
const PRETTY = {
  ignore: 'pid,context,actor,method,route,status,durationMs',
  messageFormat: '{msg}{if method} {method} {route} {status} in {durationMs} ms{end}',
  singleLine: true,
};

/**
 * How the process logs: one JSON object a line, or readable text on a terminal. Requests are logged by `RequestLog`
 * alone, so nestjs-pino's own request logging is bound to no route.
 */
export function loggingOptions(
  config: Pick<ServiceConfig, 'LOG_LEVEL' | 'NODE_ENV' | 'OTEL_EXPORTER_OTLP_ENDPOINT'>,
): Params {
  const isPretty = process.stdout.isTTY && config.NODE_ENV !== 'production' && isInstalled('pino-pretty');
  const options: LoggerOptions = {
    ...lineFormat(config.LOG_LEVEL),
    serializers: { err: describeError },
    // Lines of background work have none, and where nobody traces no line is looked at.
    ...(config.OTEL_EXPORTER_OTLP_ENDPOINT && { mixin: traceOfLine }),
    ...(isPretty && { transport: { target: 'pino-pretty', options: PRETTY } }),
  };
  return { pinoHttp: { ...options, autoLogging: false, wrapSerializers: false }, forRoutes: [] };
}

/** The trace that a line belongs to. */
function traceOfLine(): object {
  const traceId = traceIdOf(currentSpan());
  return traceId === undefined ? {} : { traceId };
}

/**
 * What a log may say of an error. The database's details, parameters and some of its messages can hold personal data:
 * they are left out.
 */
function describeError(error: unknown): object {
  if (!Error.isError(error)) return { type: typeof error };
  const state = sqlState(error);
  if (state === undefined && !(error instanceof QueryFailedError)) {
    return { type: error.name, message: error.message, stack: error.stack };
  }
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line));
  return {
    type: error.name,
    sqlState: state,
    constraint: brokenConstraint(error),
    // Class 22 (data exception) quotes the value; the others name tables, roles and constraints at the most.
    ...(!state?.startsWith('22') && { message: error.message }),
    stack: frames?.join('\n'),
  };
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}
