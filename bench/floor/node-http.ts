// The floor of HTTP: answers every request at once with what the service has answered to the same one before.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { PORT, ANSWERS } = process.env;

/** By method and the path without ids and query. */
const answers = JSON.parse(readFileSync(ANSWERS ?? '', 'utf8')) as Record<
  string,
  { status: number; body: string }
>;

createServer((request, response) => {
  const path = (request.url ?? '').replace(/\/[\da-f-]{36}$/, '/{id}').replace(/\?.*$/, '');
  const { status, body } = answers[`${request.method} ${path}`] ?? { status: 404, body: '' };
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  request.resume().on('end', () => response.writeHead(status, headers).end(body));
}).listen(Number(PORT), '127.0.0.1');
