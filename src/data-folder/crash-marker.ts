import { existsSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from '../storage/durable-file.ts'

/** Says whether the server before this one was killed, and when. */
export interface CrashMarker {
  /** When a server was last known to work before a crash that has not been cleaned up; milliseconds since 1970. */
  crashedAt(): number | undefined
  /** Notes that the server works; to be called about once a minute. */
  touch(): void
  /** Notes that what the crash has left was removed. */
  settle(): Promise<void>
  /** Notes that the server ends in an orderly way. */
  close(): void
}

/**
 * Keeps `<data>/running` while a server works on the folder: who finds it there follows a crash, at about the time when
 * the file was last changed. Its text is the time of an earlier crash that has not been cleaned up.
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
