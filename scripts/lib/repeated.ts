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
