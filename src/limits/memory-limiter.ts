import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';

/** About 25 MB; with more callers than this in one window, the counts that began first are forgotten. */
const MOST_KEYS = 50_000;

/** The longest that a timer of Node can wait (about 24 days); a longer one would fire at once. */
const LONGEST_SECONDS = Math.floor((2 ** 31 - 1) / 1_000);

/** Counts in the memory of this process, of which a flood of keys cannot take more than its share. */
export class MemoryLimiter extends RateLimiterMemory {
  private readonly keys = new Set<string>();

  constructor(private readonly mostKeys = MOST_KEYS) {
    super({ points: 1, duration: 1, keyPrefix: '' });
  }

  override async penalty(key: string, points: number, options: object): Promise<RateLimiterRes> {
    const result = await super.penalty(key, points, options);
    if (result.isFirstInDuration) await this.remember(key);
    return result;
  }

  override async set(key: string, points: number, seconds: number): Promise<RateLimiterRes> {
    const result = await super.set(key, points, Math.min(seconds, LONGEST_SECONDS));
    await this.remember(key);
    return result;
  }

  private async remember(key: string): Promise<void> {
    this.keys.delete(key);
    this.keys.add(key);
    if (this.keys.size <= this.mostKeys) return;
    const [oldest = key] = this.keys;
    this.keys.delete(oldest);
    await this.delete(oldest);
  }
}
