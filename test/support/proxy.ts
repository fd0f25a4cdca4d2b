import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of PostgreSQL that can cut or stall connections at a chosen moment. */
export interface CuttingProxy {
  /** The database's URL, through the proxy. */
  readonly url: string;
  /**
   * Cuts the first connection on which these bytes go by, before they reach the other side; resolves when it has.
   * `request` goes to the database, `answer` comes from it, `answered` cuts at what answers the request with these bytes.
   */
  cutAt(direction: 'request' | 'answer' | 'answered', bytes: string): Promise<void>;
  /**
   * From the moment these bytes come by in a request (or an answer), swallows them and all that goes through the
   * connections of then, and keeps these open; resolves when it does. New connections work.
   */
  stallAt(bytes: string, direction?: 'request' | 'answer'): Promise<void>;
  /** Cuts the next connection that the database greets, as PostgreSQL does it, in the same packet; resolves when it has. */
  endAtGreeting(): Promise<void>;
  stop(): Promise<void>;
}

/** `ReadyForQuery`, outside of a transaction. */
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1');
/** `ErrorResponse`: the connection is terminated. https://www.postgresql.org/docs/current/protocol-message-formats.html */
const TERMINATED = errorResponse({ S: 'FATAL', V: 'FATAL', C: '57P01', M: 'terminating connection' });

function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(fields).map(([type, value]) => `${type}${value}\0`);
  const body = Buffer.from(`${text.join('')}\0`);
  const head = Buffer.from('E\0\0\0\0');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

/** Starts a proxy for the database at `url`, which cuts nothing until it is told to. */
export async function startProxy(url: string): Promise<CuttingProxy> {
  const target = new URL(url);
  const sockets = new Set<Socket>();
  const stalled = new Set<Socket>();
  let stall: { direction: string; bytes: Buffer; sprung: () => void } | undefined;
  let ended: (() => void) | undefined;
  let trap: { direction: string; bytes: Buffer; sprung: () => void; from?: Socket } | undefined;

  function stallAll(direction: string, chunk: Buffer): void {
    if (stall?.direction !== direction || !chunk.includes(stall.bytes)) return;
    for (const socket of sockets) stalled.add(socket);
    stall.sprung();
    stall = undefined;
  }

  function endsHere(answer: Buffer): boolean {
    if (ended === undefined || !answer.includes(READY)) return false;
    ended();
    ended = undefined;
    return true;
  }

  function forward(direction: string, from: Socket, to: Socket): void {
    sockets.add(from);
    from.on('data', (chunk: Buffer) => {
      stallAll(direction, chunk);
      if (stalled.has(from)) return;
      if (direction === 'answer' && endsHere(chunk)) {
        to.end(Buffer.concat([chunk, TERMINATED]));
        from.destroy();
        return;
      }
      if (trap?.direction === 'answered' && direction === 'request' && chunk.includes(trap.bytes)) {
        trap = { ...trap, from: to };
      }
      if (trap?.from === from || (trap?.direction === direction && chunk.includes(trap.bytes))) {
        from.destroy();
        to.destroy();
        trap.sprung();
        trap = undefined;
      } else {
        to.write(chunk);
      }
    });
    from.on('error', () => to.destroy());
    from.on('close', () => {
      sockets.delete(from);
      to.destroy();
    });
  }

  const server = createServer((client) => {
    const database = connect(Number(target.port), target.hostname);
    forward('request', client, database);
    forward('answer', database, client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  target.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const through = target.href;
  target.href = url;

  return {
    url: through,
    cutAt: (direction, bytes) =>
      new Promise((resolve) => {
        trap = { direction, bytes: Buffer.from(bytes), sprung: resolve };
      }),
    stallAt: (bytes, direction = 'request') =>
      new Promise((resolve) => {
        stall = { direction, bytes: Buffer.from(bytes), sprung: resolve };
      }),
    endAtGreeting: () =>
      new Promise((resolve) => {
        ended = resolve;
      }),
    async stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
