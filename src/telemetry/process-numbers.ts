import { readdirSync, readFileSync } from 'node:fs'

/** Resource usage of this process, as the operating system reports it. */
export const processNumbers = {
  cpuSeconds(): number {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
  residentBytes: (): number => process.memoryUsage.rss(),
  /** Seconds since 1970. */
  startSeconds: (): number => Math.floor(Date.now() / 1000 - process.uptime()),
  /** Returns the number of open files and sockets; undefined except on Linux. */
  openFiles: (): number | undefined => orUndefined(() => readdirSync('/proc/self/fd').length),
  /** Returns the limit of open files and sockets; undefined except on Linux, or if unlimited. */
  filesMax: (): number | undefined =>
    orUndefined(() => {
      const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
      return limit === undefined ? undefined : Number(limit)
    }),
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
