/** Runs a command; a failure is told in one line, and the process exits with `failure`. */
export async function runCommand(command: () => Promise<void>, failure = 1): Promise<void> {
  try {
    await command();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = failure;
  }
}
