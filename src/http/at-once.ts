import { unavailable } from '../problems/problem.js';

const RETRY_AFTER_SECONDS = 10;

/** Lets so much of something costly go on at once in this process; `what` names it, in the plural. */
export class AtOnce {
  private underWay = 0;

  constructor(
    private readonly most: number,
    private readonly what: string,
  ) {}

  /** Runs `work`; throws `unavailable`, without having begun, while as many others as may are under way. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.underWay >= this.most) {
      throw unavailable(`${this.most} ${this.what} are under way already.`, RETRY_AFTER_SECONDS);
    }
    this.underWay += 1;
    try {
      return await work();
    } finally {
      this.underWay -= 1;
    }
  }
}
