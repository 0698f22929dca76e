/** The longest that the event loop was held up while something went on, in milliseconds. */
export async function longestTurn(work: () => Promise<void>): Promise<number> {
  let [longest, last] = [0, performance.now()]
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }, 1)
  try {
    await work()
    return longest
  } finally {
    clearInterval(timer)
  }
}
