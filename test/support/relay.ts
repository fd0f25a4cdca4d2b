import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP port that forwards each new connection to wherever it is told at that moment. */
export interface Relay {
  readonly port: number;
  /** Cuts the connections that `choose` had sent to this port, as when a machine is lost. */
  cut(target: number): void;
  stop(): Promise<void>;
}

/**
 * Listens on a free port of this machine. `choose` gets the port that a client calls from and answers the port to
 * connect it with; undefined refuses.
 */
export async function startRelay(choose: (clientPort: number) => number | undefined): Promise<Relay> {
  const pairs = new Map<Socket, { target: number; upstream: Socket }>();
  const server = createServer({ noDelay: true }, (client) => {
    const target = choose(client.remotePort ?? 0);
    if (target === undefined) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    pairs.set(client, { target, upstream });
    client.pipe(upstream).pipe(client);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('error', () => other.resetAndDestroy());
      socket.on('close', () => {
        if (socket.errored === null) other.destroySoon();
        pairs.delete(client);
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cutWhere = (isConcerned: (target: number) => boolean) => {
    for (const [client, { target, upstream }] of pairs) {
      if (!isConcerned(target)) continue;
      client.resetAndDestroy();
      upstream.destroy();
    }
  };
  return {
    port: (server.address() as AddressInfo).port,
    cut: (target) => cutWhere((each) => each === target),
    async stop() {
      server.close();
      cutWhere(() => true);
      await once(server, 'close');
    },
  };
}
