import { type LoggerOptions, pino } from 'pino';

/** What all log lines of the process have in common: ISO 8601 time and process id, from this level on. */
export function lineFormat(level: string): LoggerOptions {
  return { level, timestamp: pino.stdTimeFunctions.isoTime, base: { pid: process.pid } };
}
