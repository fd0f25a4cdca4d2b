/** The lists of a document, each part by part. */
export type Lists<T> = { readonly [Name in keyof T]: AsyncIterable<readonly unknown[]> };

/** A JSON object with the members of `head` and then the lists, as pieces of text: no more than a part is in memory. */
export async function* jsonDocument<T>(head: object, lists: Lists<T>): AsyncGenerator<string> {
  yield JSON.stringify(head).slice(0, -1);
  for (const [name, parts] of Object.entries<AsyncIterable<readonly unknown[]>>(lists)) {
    yield `,${JSON.stringify(name)}:[`;
    let separator = '';
    for await (const part of parts) {
      if (part.length === 0) continue;
      yield separator + part.map((item) => JSON.stringify(item)).join(',');
      separator = ',';
    }
    yield ']';
  }
  yield '}\n';
}
