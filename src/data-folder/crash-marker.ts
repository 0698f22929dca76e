import { existsSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from '../storage/durable-file.ts'

/** Tells whether the previous server was killed, and when. */
export interface CrashMarker {
  /** The last time a server was known to run before a crash not yet cleaned up, in milliseconds since 1970. */
  crashedAt(): number | undefined
  /** Records that the server is running. Call it about once a minute. */
  touch(): void
  /** Records that what the crash left behind was removed. */
  settle(): Promise<void>
  /** Records a clean shutdown. */
  close(): void
}

/**
 * Keeps the file `<data>/running` while a server uses the folder. A server that finds it at startup follows a crash, at
 * about the file's modification time. The file contains the time of an earlier crash that is not cleaned up yet.
 */
export async function openCrashMarker(data: string): Promise<CrashMarker> {
  const path = join(data, 'running')
  let crashedAt = existsSync(path) ? Number(readFileSync(path, 'utf8')) || statSync(path).mtimeMs : undefined
  const write = () => writeDurably(path, crashedAt === undefined ? '' : String(crashedAt), 0o600)
  await write()
  return {
    crashedAt: () => crashedAt,
    touch() {
      const now = new Date()
      utimesSync(path, now, now)
    },
    async settle() {
      crashedAt = undefined
      await write()
    },
    close() {
      if (crashedAt === undefined) rmSync(path, { force: true })
    },
  }
}
