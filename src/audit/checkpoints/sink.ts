/** A place outside of the database that keeps the latest checkpoint. Both operations fail with `Obstacle`. */
export interface Sink {
  /** What it holds; undefined when that is nothing yet. */
  read(signal: AbortSignal): Promise<Kept | undefined>;
  /** Puts a checkpoint in the place of what was `read`; when this returns, it is kept. */
  replace(note: string, read: Kept | undefined, signal: AbortSignal): Promise<void>;
}

/** A checkpoint in a sink. Where the sink has such a thing, `tag` tells whether it still holds the same. */
export interface Kept {
  readonly note: string;
  readonly tag?: string | undefined;
}
