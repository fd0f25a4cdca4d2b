/** What a controller answers when there is more to say than the body. */
export class Reply<T> {
  constructor(
    readonly body: T,
    readonly about: {
      readonly replayed?: boolean;
      readonly location?: string;
      /** Tells apart what different callers get at the same path; part of the ETag. */
      readonly variant?: string | undefined;
      readonly headers?: Readonly<Record<string, string>>;
      /** `Cache-Control` of what everybody gets alike: it does not vary with who asks. */
      readonly shared?: string;
    } = {},
  ) {}
}
