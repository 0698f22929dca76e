/**
 * Starts something. If that fails, closes in this order what was opened for it, so that the next start does not look like
 * one after a crash.
 */
export async function closeOnFailure<T>(opened: (() => unknown)[], start: () => T): Promise<T> {
  try {
    return start()
  } catch (error) {
    for (const close of opened) await close()
    throw error
  }
}
