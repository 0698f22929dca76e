import { readdirSync, readFileSync } from 'node:fs'

/** What the system tells of this process. */
export const processNumbers = {
  cpuSeconds(): number {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1e6
  },
  residentBytes: (): number => process.memoryUsage.rss(),
  /** Since 1970. */
  startSeconds: (): number => Math.floor(Date.now() / 1000 - process.uptime()),
  /** Files and sockets that are open; undefined where this system does not tell (all but Linux). */
  openFiles: (): number | undefined => orUndefined(() => readdirSync('/proc/self/fd').length),
  /** How many may be open; undefined where this system does not tell, or it is as many as there are. */
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
