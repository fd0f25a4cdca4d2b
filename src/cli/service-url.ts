/** Reads what `--url` gives, without a slash at its end; throws an error that says what is accepted. */
export function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!plain || !/^https?:$/.test(url.protocol)) throw new Error('--url must be as http://localhost:3000.');
  return url.href.replace(/\/+$/, '');
}

/** Whether what is sent to this address can be read on its way: without TLS, and not within this machine. */
export function travelsInClear(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(hostname);
}
