const NEWLINE = 0x0a;

/** A line of a file, counted from 1, without its line feed; `bytes` is absent when the line is too long. */
export interface Line {
  readonly number: number;
  readonly bytes: Buffer | undefined;
  /** Bytes in the file. */
  readonly size: number;
}

/** Cuts a stream of bytes into lines, never holding more than a chunk and `limit` bytes. */
export async function* readLines(chunks: AsyncIterable<Buffer>, limit: number): AsyncGenerator<Line> {
  let number = 0;
  let parts: Buffer[] = [];
  let length = 0;
  const add = (part: Buffer) => {
    length += part.length;
    if (length > limit) parts = [];
    else parts.push(part);
  };
  const take = (): Line => {
    number += 1;
    const line = { number, bytes: length > limit ? undefined : Buffer.concat(parts), size: length + 1 };
    parts = [];
    length = 0;
    return line;
  };

  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield take();
}

/** Works on several items at once; takes the next one when a hand is free. What `work` throws ends it. */
export async function forEachAtOnce<T>(
  items: AsyncGenerator<T>,
  concurrency: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  // All hands share the generator: one that throws closes it for the others, who finish what they have begun.
  const hand = async () => {
    for await (const item of items) await work(item);
  };
  const ends = await Promise.allSettled(Array.from({ length: concurrency }, hand));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed) throw failed.reason;
}
