import { pipeline } from 'node:stream/promises';
import type { Response } from 'express';

/** JSON texts, each on a line of its own. */
export const NDJSON = 'application/x-ndjson';

/** Aborted once the answer is over: complete, or given up by the client. */
export function endOf(response: Response): AbortSignal {
  const over = new AbortController();
  if (response.destroyed) over.abort();
  response.once('close', () => {
    over.abort();
  });
  return over.signal;
}

/**
 * Sends the texts as fast as the client takes them: the next one is asked for when there is room. Gives up on a client
 * that takes nothing for `stallTimeoutMs`. Throws what `texts` throws, or when the client is gone; then the connection
 * is broken, so that nobody takes what has arrived for all.
 */
export async function sendTexts(
  response: Response,
  texts: AsyncIterable<string>,
  stallTimeoutMs: number,
): Promise<void> {
  response.flushHeaders();
  await pipeline(handOver(response, texts, stallTimeoutMs), response);
}

async function* handOver(
  response: Response,
  texts: AsyncIterable<string>,
  stallTimeoutMs: number,
): AsyncGenerator<string> {
  try {
    for await (const text of texts) {
      response.setTimeout(stallTimeoutMs);
      yield text;
      response.setTimeout(0);
      // What is compressed has been kept back until now.
      response.flush();
    }
    response.setTimeout(stallTimeoutMs);
  } catch (error) {
    // In HTTP/1.0 the end of the connection is the end of the answer, unless it is reset.
    response.socket?.resetAndDestroy();
    throw error;
  }
}

/** The texts, of which the first has been asked for already: whoever does so learns of a failure before anything is sent. */
export async function* startingWith(
  first: IteratorResult<string, void>,
  texts: AsyncGenerator<string, void>,
): AsyncGenerator<string> {
  if (first.done !== true) yield first.value;
  yield* texts;
}
