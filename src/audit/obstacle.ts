/** Why work on the log cannot go on, in words for the log of the process and the health check: no host, login or value. */
export class Obstacle extends Error {
  override readonly name: string = 'Obstacle';
}

/** The log, or what is kept of it elsewhere, says otherwise than what was signed. Only an operator can help. */
export class Contradiction extends Obstacle {
  override readonly name = 'Contradiction';
}
