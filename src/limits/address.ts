import { isIPv4, isIPv6 } from 'node:net';
import { normalizeIp } from '@nestjs/throttler';
import type { Request } from 'express';

/** What a forwarding proxy may write around an address: a port, and brackets where it is IPv6. */
const WITH_PORT = /^(?:\[([\da-f:.%]+)\]|([\d.]+))(?::\d{1,5})?$/i;

/**
 * Where a request comes from, as far as limits tell callers apart: an IPv4 address or the /64 network of an IPv6
 * address; `unknown` when the connection is gone or a proxy names none.
 */
export function addressOf(request: Pick<Request, 'ip'>): string {
  const text = request.ip ?? '';
  // The form that every IPv4 caller has on a dual-stack socket.
  const bare = text.startsWith('::ffff:') ? text.slice(7) : text;
  if (isIPv4(bare)) return bare;
  const match = WITH_PORT.exec(text);
  const address = normalizeIp(match?.[1] ?? match?.[2] ?? text);
  // What is no address comes back as it was.
  return isIPv4(address) || address === '::1' || isIPv6(address.replace(/\/64$/, '')) ? address : 'unknown';
}
