import type { Span } from '@opentelemetry/api';
import { unavailable } from '../problems/problem.js';
import { currentSpan, tracedTogether } from '../tracing/tracing.js';

/** How requests are put together. */
interface BatchLimits<I> {
  /** What the span of a batch is called. */
  readonly name: string;
  /** Batches under way at once. */
  readonly inFlight: number;
  /** How old the youngest must be, in milliseconds, before another begins beside it: 0 unless told. */
  readonly besideAfterMs?: number;
  /** What a batch weighs at most; one input alone may weigh more. */
  readonly weight: number;
  /** Inputs that may wait; more are refused. */
  readonly waiting: number;
  /** So many of a batch are told before it is looked what has come meanwhile: all of them unless told. */
  readonly toldAtOnce?: number;
  /** What an input weighs: 1 unless told. */
  readonly weigh?: (input: I) => number;
}

interface Waiter<I, O> {
  readonly input: I;
  readonly resolve: (output: O) => void;
  readonly reject: (error: unknown) => void;
  /** The span of whoever asks. */
  readonly span: Span | undefined;
}

/** Tells one of a batch what came of it, by its place in the batch. */
type Tell<I, O> = (waiter: Waiter<I, O>, index: number) => void;

/**
 * Puts together what many requests ask for: inputs that arrive while as many batches as allowed are under way form the
 * next. Nothing waits for company: a single input is a batch of one. An output that is still to come holds nobody else up.
 */
export class Batches<I, O> {
  private readonly queue: Waiter<I, O>[] = [];
  private underWay = 0;
  private youngestBegan = 0;
  private timer: NodeJS.Timeout | undefined;
  private scheduled = false;

  /** `run` answers one output for each input, in their order; what it throws concerns all of them. */
  constructor(
    private readonly run: (inputs: readonly I[]) => Promise<readonly O[]>,
    private readonly limits: BatchLimits<I>,
  ) {}

  /** Inputs that wait for a batch. */
  get waiting(): number {
    return this.queue.length;
  }

  /** The output for one input; throws what its batch throws, or `unavailable` when too many wait. */
  add(input: I): Promise<O> {
    if (this.queue.length >= this.limits.waiting) {
      return Promise.reject(unavailable('Too many requests wait for the database.'));
    }
    return new Promise((resolve, reject) => {
      this.queue.push({ input, resolve, reject, span: currentSpan() });
      this.schedule();
    });
  }

  /** After what has arrived together was read from the sockets, so that it goes together. */
  private schedule(): void {
    if (this.scheduled || this.queue.length === 0) return;
    if (!this.mayBegin()) {
      this.lookAgain();
      return;
    }
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (this.mayBegin()) void this.begin();
      this.schedule();
    });
  }

  /** When what is under way takes so long that another may begin beside it. */
  private lookAgain(): void {
    if (this.underWay >= this.limits.inFlight) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.schedule();
    }, this.limits.besideAfterMs).unref();
  }

  private mayBegin(): boolean {
    const { inFlight, besideAfterMs = 0 } = this.limits;
    if (this.queue.length === 0 || this.underWay === 0) return this.queue.length > 0;
    return this.underWay < inFlight && performance.now() - this.youngestBegan >= besideAfterMs;
  }

  private async begin(): Promise<void> {
    this.underWay++;
    this.youngestBegan = performance.now();
    const batch = this.take();
    const tell = await this.carryOut(batch);
    this.underWay--;
    if (!this.mayBegin()) {
      this.tellAll(batch, tell);
      this.schedule();
      return;
    }
    // The database has work again before those who waited take their time to answer.
    void this.begin();
    setImmediate(() => this.tellAll(batch, tell));
  }

  /** Some at a time: while those answer, the next batch may end, and the database must not wait for all of them. */
  private tellAll(batch: readonly Waiter<I, O>[], tell: Tell<I, O>, told = 0): void {
    const { toldAtOnce = batch.length } = this.limits;
    const next = told + toldAtOnce;
    batch.slice(told, next).forEach((waiter, index) => tell(waiter, told + index));
    if (next < batch.length) setImmediate(() => this.tellAll(batch, tell, next));
  }

  /** Runs the batch; returns what tells each of those who wait. */
  private async carryOut(batch: readonly Waiter<I, O>[]): Promise<Tell<I, O>> {
    try {
      const start = { name: this.limits.name, attributes: { 'ordo.batch.size': batch.length } };
      const spans = batch.map(({ span }) => span);
      const outputs = await tracedTogether(start, spans, () => this.run(batch.map(({ input }) => input)));
      if (outputs.length !== batch.length) throw new Error('A batch owes one output for each input');
      // Outputs may be undefined: what is there was counted.
      return ({ resolve }, index) => resolve(outputs[index] as O);
    } catch (error) {
      return ({ reject }) => reject(error);
    }
  }

  /** The first of those that wait, as many as a batch holds. */
  private take(): Waiter<I, O>[] {
    const { weight, weigh } = this.limits;
    let total = 0;
    const end = this.queue.findIndex(({ input }, index) => {
      total += weigh?.(input) ?? 1;
      return index > 0 && total > weight;
    });
    return this.queue.splice(0, end === -1 ? this.queue.length : end);
  }
}
