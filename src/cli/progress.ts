import { MultiBar, Presets } from 'cli-progress';

/** Shows how far a command is, on a terminal only. */
export interface Progress {
  advance(by: number): void;
  /** Writes a line to stderr. */
  tell(text: string): void;
  stop(): void;
}

/** A bar on stderr that is full at `size`; none where stderr is no terminal or the size is not known. */
export function showProgress(size: number): Progress {
  if (!process.stderr.isTTY || size === 0) {
    return { advance: () => undefined, tell: (text) => console.error(text), stop: () => undefined };
  }
  const bars = new MultiBar(
    // Its own signal handlers would keep Ctrl-C from ending the process.
    { format: '{bar} {percentage} % | {duration_formatted}', gracefulExit: false },
    Presets.shades_classic,
  );
  const bar = bars.create(size, 0);
  return {
    advance: (by) => bar.increment(by),
    tell: (text) => bars.log(`${text}\n`),
    stop: () => {
      // stop() alone would drop the lines that wait to be written.
      bars.update();
      bars.stop();
    },
  };
}
