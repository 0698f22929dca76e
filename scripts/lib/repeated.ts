/**
 * Repeats an act until the work is done, on some clients at once, each without a pause, and returns what the work returns.
 * @throws what an act throws, when the work is done
 */
export async function whileRepeating<T>(
  act: () => Promise<unknown>,
  work: () => Promise<T>,
  clients = 1,
): Promise<T> {
  const state = { isDone: false }
  const repeat = async () => {
    while (!state.isDone) await act()
  }
  const repeated = Promise.all(Array.from({ length: clients }, repeat))
  repeated.catch(() => {})
  try {
    return await work()
  } finally {
    state.isDone = true
    await repeated
  }
}

/** Calls `work` until it succeeds, for at most so long; then its last error is thrown. */
export async function eventually<T>(work: () => Promise<T>, secondsMax = 30, pauseMs = 100): Promise<T> {
  const deadline = performance.now() + secondsMax * 1000
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (performance.now() > deadline) throw error
      await Bun.sleep(pauseMs)
    }
  }
}
