/**
 * Returns what a promise rejects with. Bun's `expect(promise).rejects` runs the event loop itself, and hangs if the
 * result must come from a Worker.
 */
export async function failureOf(promise: Promise<unknown>): Promise<Error & { status?: number }> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('this should have failed')
}
