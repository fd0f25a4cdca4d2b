import { type Server, STATUS_CODES } from 'node:http';
import { Socket } from 'node:net';
import { newId } from '../database/new-id.js';
import type { ProblemCode } from '../problems/catalogue.js';
import { Problem } from '../problems/problem.js';

const CODES: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: 'header-too-large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
};

/** Answers what Node's parser refuses before there is a request to route: with a problem, like everything else. */
export function answerClientErrors(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const id = newId();
    const problem = new Problem(
      CODES[error.code ?? ''] ?? 'malformed-request',
      'The request could not be read.',
    );
    const body = JSON.stringify(problem.toBody(id));
    socket.write(
      [
        `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
        'Content-Type: application/problem+json; charset=utf-8',
        `Content-Length: ${Buffer.byteLength(body)}`,
        `X-Request-Id: ${id}`,
        'Connection: close',
        '',
        body,
      ].join('\r\n'),
    );
    // Also when the client keeps its half open.
    if (socket instanceof Socket) socket.destroySoon();
  });
}
