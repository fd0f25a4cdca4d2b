/** Runs a command; a failure is told in one line, and the process exits with 1, or with what `exitCode` makes of it. */
export async function runCommand(
  command: () => Promise<void>,
  exitCode: (error: unknown) => number = () => 1,
): Promise<void> {
  try {
    await command();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = exitCode(error);
  }
}
