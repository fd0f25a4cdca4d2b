import { errorCode } from '../../config/private-files.js';
import { currentSpan, outgoingHeaders, traced } from '../../tracing/tracing.js';
import { Obstacle } from '../obstacle.js';
import type { Kept, Sink } from './sink.js';

/** For each of the two requests. */
const LIMIT_MS = 5_000;
const LONGEST_NOTE = 65_536;

/**
 * The latest checkpoint at an address that takes GET (404: nothing yet) and PUT, with HTTP Basic where the address has
 * a user and password. Where its answers have an ETag, it is replaced only if it is still what was read.
 */
export class HttpSink implements Sink {
  private readonly url: string;
  private readonly authorization: Record<string, string>;

  constructor(address: URL) {
    const url = new URL(address);
    const credentials = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    this.authorization =
      credentials === ':' ? {} : { Authorization: `Basic ${Buffer.from(credentials).toString('base64')}` };
    url.username = '';
    url.password = '';
    this.url = url.href;
  }

  async read(signal: AbortSignal): Promise<Kept | undefined> {
    const response = await this.send({ method: 'GET' }, signal);
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    const note = await this.accept(response);
    if (note.length > LONGEST_NOTE)
      throw new Obstacle('AUDIT_CHECKPOINT_SINK answers more than a checkpoint');
    return { note, tag: response.headers.get('ETag') ?? undefined };
  }

  async replace(note: string, read: Kept | undefined, signal: AbortSignal): Promise<void> {
    // Weak tags never match.
    const isStrong = read?.tag !== undefined && !read.tag.startsWith('W/');
    const condition =
      read === undefined ? { 'If-None-Match': '*' } : isStrong ? { 'If-Match': read.tag } : {};
    const headers = { 'Content-Type': 'text/plain; charset=utf-8', ...condition };
    await this.accept(await this.send({ method: 'PUT', body: note, headers }, signal));
  }

  private async send(request: RequestInit & { method: string }, signal: AbortSignal): Promise<Response> {
    // Its address is not told: it may hold a secret.
    const attributes = { 'http.request.method': request.method };
    return traced({ name: `${request.method} checkpoint`, kind: 'client', attributes }, async () => {
      const response = await this.fetch(request, signal);
      currentSpan()?.setAttribute('http.response.status_code', response.status);
      return response;
    });
  }

  private async fetch(request: RequestInit, signal: AbortSignal): Promise<Response> {
    try {
      return await fetch(this.url, {
        ...request,
        headers: { ...this.authorization, ...outgoingHeaders(), ...request.headers },
        redirect: 'error',
        signal: AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]),
      });
    } catch (error) {
      throw unanswered(error);
    }
  }

  private async accept(response: Response): Promise<string> {
    const text = await response.text().catch((error: unknown) => {
      throw unanswered(error);
    });
    if (!response.ok) throw new Obstacle(`AUDIT_CHECKPOINT_SINK answers ${response.status}`);
    return text;
  }
}

/** Without the error itself: it may quote the address. */
function unanswered(error: unknown): Obstacle {
  const cause: unknown =
    typeof error === 'object' && error !== null ? Reflect.get(error, 'cause') : undefined;
  return new Obstacle(`AUDIT_CHECKPOINT_SINK does not answer (${errorCode(cause) ?? 'no reason given'})`);
}
