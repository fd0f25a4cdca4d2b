import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../../config/private-files.js';

/** Where a log is read, at the paths of c2sp.org/tlog-tiles. */
export interface LogSource {
  /** Its address, or its folder. */
  readonly name: string;
  /** What is at a path; undefined when there is nothing. Throws `Fault` where the log fails, `Unusable` where it cannot be asked. */
  read(path: string): Promise<Buffer | undefined>;
}

/** The log is not what it claims to be. */
export class Fault extends Error {
  override readonly name = 'Fault';
}

/** Nothing is known of the log: it cannot be reached, or not with these rights. */
export class Unusable extends Error {
  override readonly name = 'Unusable';
}

/** A log that was exported to a folder. */
export class FolderSource implements LogSource {
  constructor(readonly name: string) {}

  async read(path: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.name, path));
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw new Unusable(`${join(this.name, path)} cannot be read (${code ?? 'unknown'})`, { cause: error });
    }
  }
}

/** What must be there; throws `Fault` where it is not. */
export async function require(source: LogSource, path: string): Promise<Buffer> {
  const bytes = await source.read(path);
  if (bytes === undefined) throw new Fault(`${path} is missing in ${source.name}`);
  return bytes;
}

/** Works ahead on `count` items and yields the results in their order. */
export async function* ahead<T, R>(
  items: Iterable<T>,
  count: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const underWay: Promise<R>[] = [];
  for (const item of items) {
    const result = work(item);
    // Whoever waits for it gets the error; until then it must not count as unhandled.
    result.catch(() => undefined);
    underWay.push(result);
    if (underWay.length >= count) yield await (underWay.shift() ?? result);
  }
  for (const result of underWay) yield await result;
}
