/** A start that cannot go on. Its message is the one line that the operator reads; `main` prints it and exits 1. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
