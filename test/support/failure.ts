/**
 * What a promise rejects with. Bun's own `expect(promise).rejects` turns the event loop by hand, and hangs when the
 * answer must come from a Worker.
 */
export async function failureOf(promise: Promise<unknown>): Promise<Error & { status?: number }> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('this should have failed')
}
