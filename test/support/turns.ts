/** Counts the turns of the event loop that other work got meanwhile. */
export async function turnsDuring(work: () => Promise<void>): Promise<number> {
  const state = { isDone: false, turns: 0 }
  const counting = async () => {
    while (!state.isDone) {
      state.turns++
      await new Promise(setImmediate)
    }
  }
  const counted = counting()
  try {
    await work()
  } finally {
    state.isDone = true
    await counted
  }
  return state.turns
}
