import type { Params } from 'nestjs-pino';
import { type LoggerOptions, pino } from 'pino';
import { QueryFailedError } from 'typeorm';
import type { ServiceConfig } from '../config/config.js';
import { brokenConstraint, sqlState } from '../database/sqlstate.js';

/**
 * How the process logs: one JSON object a line, or readable text on a terminal. Requests are logged by `RequestLog`
 * alone, so nestjs-pino's own request logging is bound to no route.
 */
export function loggingOptions(config: Pick<ServiceConfig, 'LOG_LEVEL' | 'NODE_ENV'>): Params {
  const isPretty = process.stdout.isTTY && config.NODE_ENV !== 'production' && isInstalled('pino-pretty');
  const options: LoggerOptions = {
    level: config.LOG_LEVEL,
    timestamp: pino.stdTimeFunctions.isoTime,
    base: { pid: process.pid },
    serializers: { err: describeError },
    ...(isPretty && { transport: { target: 'pino-pretty', options: { ignore: 'pid', singleLine: true } } }),
  };
  return { pinoHttp: { ...options, autoLogging: false, wrapSerializers: false }, forRoutes: [] };
}

/**
 * What a log may say of an error. The database's messages, details and parameters can hold personal data: of such an
 * error the log has its codes and where it was thrown.
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
