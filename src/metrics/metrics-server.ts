import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { OnApplicationShutdown } from '@nestjs/common';

/** What is measured, in the format that `contentType` names. */
interface Source {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** Serves `GET /metrics` in Prometheus' text format on a port of its own, away from the API's clients. */
export class MetricsServer implements OnApplicationShutdown {
  private readonly server: Server;

  constructor(private readonly source: Source) {
    this.server = createServer((request, response) => {
      this.answer(request, response).catch(() => response.writeHead(500).end());
    });
  }

  /** Starts to listen; throws the socket's error, such as `EADDRINUSE`. */
  async listen(port: number, host: string | undefined): Promise<void> {
    this.server.listen(port, host);
    await once(this.server, 'listening');
  }

  onApplicationShutdown(): void {
    this.close();
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url !== '/metrics' || request.method !== 'GET') {
      response.writeHead(404).end();
      return;
    }
    const text = await this.source.metrics();
    response.writeHead(200, { 'Content-Type': this.source.contentType }).end(text);
  }
}
