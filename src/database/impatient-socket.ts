import { Socket } from 'node:net';

/** Above the `statement_timeout` of the service's login (10 s): past it the answer is not late, but lost. */
export const ANSWER_PATIENCE_MS = 15_000;

/**
 * What makes node-postgres sockets that give up when nothing goes by for so many milliseconds: a network that swallows
 * packets ends no connection, and requests would wait for it for a quarter of an hour. The pool closes idle
 * connections before that.
 */
export function impatientSocket(patienceMs: number): () => Socket {
  return () => {
    const socket = new Socket();
    return socket.setTimeout(patienceMs, () => {
      socket.destroy(new Error('Connection terminated: the database did not answer'));
    });
  };
}
