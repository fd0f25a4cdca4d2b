import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

/** An answer that has begun, and that nobody reads until somebody asks for the rest. */
export interface Download {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** All of the body; throws when the transfer breaks off. */
  rest(): Promise<string>;
  /** Ends the connection, as a client does that loses patience. */
  hangUp(): void;
}

const open = new Set<() => void>();

/** Hangs up on all that is still under way, after a test that did not get that far. */
export function hangUpAll(): void {
  for (const hangUp of open) hangUp();
  open.clear();
}

/** Asks for the URL on a connection of its own; resolves with the headers of the answer. */
export async function download(url: string, token: string, headers: object = {}): Promise<Download> {
  const { answer, hangUp } = ask(url, token, headers);
  const response = await answer;
  // An error that comes before anybody reads is met by whoever does.
  response.on('error', () => undefined);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    rest: () => text(response),
    hangUp,
  };
}

/** The same, for whoever does not want to wait for the headers. */
export function ask(url: string, token: string, headers: object = {}) {
  const request = get(url, { agent: false, headers: { Authorization: `Bearer ${token}`, ...headers } });
  request.on('error', () => undefined);
  const answer = once(request, 'response').then(([response]) => response as IncomingMessage);
  answer.catch(() => undefined);
  const hangUp = () => void request.destroy();
  open.add(hangUp);
  return { answer, hangUp };
}
