/** Below the range that Linux gives to outgoing connections and to listeners without a port. */
const [FIRST, COUNT] = [20_000, 10_000]

/** Ports that this process has been given. What they are for may not listen yet. */
const given = new Set<number>()

/**
 * Returns a port that is free now, for programs that cannot choose one themselves. It stays free until they listen,
 * because the system gives ports of this range to nobody else. A process never gets the same port twice.
 */
export function freePort(): number {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (given.has(port)) continue
    try {
      Bun.listen({ hostname: '0.0.0.0', port, socket: { data() {} } }).stop(true)
      given.add(port)
      return port
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
