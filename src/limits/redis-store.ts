import { RateLimiterRedis } from 'rate-limiter-flexible';

/** Longer than any healthy Redis takes, too short for a caller to notice. */
const COMMAND_MS = 100;
const CONNECT_MS = 1_000;
const RETRY_MS = 1_000;

/** What the owner of a store is told; `reason` names no address, user or key. */
interface Listener {
  isUp(): void;
  isAway(reason: string): void;
}

/**
 * The counters in Redis, or nothing while it is away. The first failure closes the connection, so that no request waits
 * for it again; a new one is tried every second.
 */
export class RedisStore {
  private limiter: RateLimiterRedis | undefined;
  private release: () => void = () => undefined;
  private retry: NodeJS.Timeout | undefined;
  private isClosed = false;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {}

  /** What `work` answers, `undefined` when Redis is away or does not answer in time. */
  async use<T>(work: (limiter: RateLimiterRedis) => Promise<T>): Promise<T | undefined> {
    const { limiter } = this;
    if (limiter === undefined) return undefined;
    try {
      return await within(COMMAND_MS, work(limiter));
    } catch (error) {
      this.lose(limiter, error);
      return undefined;
    }
  }

  /** Resolves after the first attempt, whatever became of it. */
  async connect(): Promise<void> {
    let destroy = () => {};
    try {
      const { createClient } = await import('redis');
      const client = createClient({
        url: this.url,
        disableOfflineQueue: true,
        maintNotifications: 'disabled',
        // `within` covers the whole command, the client's own limit only the time until it is sent.
        commandOptions: { timeout: 0 },
        socket: { connectTimeout: CONNECT_MS, reconnectStrategy: false },
      });
      destroy = () => client.destroy();
      const limiter = new RateLimiterRedis({
        storeClient: client,
        useRedisPackage: true,
        keyPrefix: 'ordo',
        points: 1,
        duration: 1,
      });
      client.on('error', (error) => this.lose(limiter, error));
      await within(2 * CONNECT_MS, client.connect());
      // A Redis that is full, loading or read-only accepts connections, but does not count.
      await within(CONNECT_MS, limiter.penalty('probe', 1, { customDuration: 60 }));
      if (this.isClosed) throw new Error('closed');
      this.limiter = limiter;
      this.release = destroy;
      this.listener.isUp();
    } catch (error) {
      destroy();
      this.tryAgain(error);
    }
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    this.limiter = undefined;
    this.release();
  }

  private lose(limiter: RateLimiterRedis, error: unknown): void {
    // Requests that were under way together fail together: only the first one counts.
    if (this.limiter !== limiter) return;
    this.limiter = undefined;
    this.release();
    this.tryAgain(error);
  }

  private tryAgain(error: unknown): void {
    if (this.isClosed) return;
    this.listener.isAway(reasonOf(error));
    this.retry = setTimeout(() => void this.connect(), RETRY_MS).unref();
  }
}

/** The code of a failed system call, the first word of an error of Redis (`NOAUTH`, `OOM`), or the kind of error. */
function reasonOf(error: unknown): string {
  if (!Error.isError(error)) return typeof error;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return /^[A-Z]{2,}(?= )/.exec(error.message)?.[0] ?? error.constructor.name;
}

class TookTooLong extends Error {}

/** What `work` answers; throws when it takes longer. */
async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    // In two halves: when this process was held up, there is time to send and to read before the second one is over.
    timer = setTimeout(() => {
      timer = setTimeout(() => {
        reject(new TookTooLong());
      }, milliseconds / 2);
    }, milliseconds / 2);
  });
  return Promise.race([work, limit]).finally(() => {
    clearTimeout(timer);
  });
}
