import type { Line } from './lines.js';
import type { ImportedOrder } from './order.js';
import { LineFailure } from './values.js';

/** A line of the file that is not blank: its order, or what is wrong with it. */
export interface Entry {
  /** Counts from 1. */
  readonly number: number;
  readonly order: ImportedOrder | LineFailure;
}

/** Lines that are worked on together. */
export interface Chunk {
  readonly entries: readonly Entry[];
  /** Bytes in the file. */
  readonly size: number;
}

/** What the service takes in one request (1 MB, 100 items), and in one transaction. */
const MOST_BYTES = 1_000_000;
const MOST_ENTRIES = 100;
const MOST_ORDER_LINES = 1_000;
/** Around an order's body in a batch: its key and user, and what names them. */
const ENVELOPE_BYTES = 200;

interface Weight {
  readonly bytes: number;
  readonly orderLines: number;
}

const WEIGHTLESS: Weight = { bytes: 0, orderLines: 0 };

/** Puts orders together into chunks that one batch can hold; one that is larger than a batch is alone in its chunk. */
export async function* readChunks(
  lines: AsyncIterable<Line>,
  read: (line: Line) => ImportedOrder | undefined,
): AsyncGenerator<Chunk> {
  let chunk = new OpenChunk();
  for await (const line of lines) {
    const order = orderOrFailure(line, read);
    if (order !== undefined) {
      const weight = order instanceof LineFailure ? WEIGHTLESS : weightOf(order);
      if (!chunk.takes(weight)) {
        yield chunk;
        chunk = new OpenChunk();
      }
      chunk.add({ number: line.number, order }, weight);
    }
    chunk.size += line.size;
  }
  if (chunk.size > 0) yield chunk;
}

class OpenChunk implements Chunk {
  readonly entries: Entry[] = [];
  size = 0;
  private bytes = 0;
  private orderLines = 0;

  takes({ bytes, orderLines }: Weight): boolean {
    if (this.entries.length === 0) return true;
    return (
      this.entries.length < MOST_ENTRIES &&
      this.bytes + bytes <= MOST_BYTES &&
      this.orderLines + orderLines <= MOST_ORDER_LINES
    );
  }

  add(entry: Entry, { bytes, orderLines }: Weight): void {
    this.entries.push(entry);
    this.bytes += bytes;
    this.orderLines += orderLines;
  }
}

function orderOrFailure(
  line: Line,
  read: (line: Line) => ImportedOrder | undefined,
): Entry['order'] | undefined {
  try {
    return read(line);
  } catch (error) {
    if (error instanceof LineFailure) return error;
    throw error;
  }
}

function weightOf({ body }: ImportedOrder): Weight {
  return {
    bytes: Buffer.byteLength(JSON.stringify(body)) + ENVELOPE_BYTES,
    orderLines: Array.isArray(body.lines) ? body.lines.length : 0,
  };
}
