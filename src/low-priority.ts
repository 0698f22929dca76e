import { setPriority } from 'node:os'

/**
 * Gives the thread that calls this less of a busy processor than the one that serves has. On Linux a priority is a
 * thread's own; elsewhere it would be that of the whole process.
 */
export function lowerPriority(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, 10)
  } catch {
    // A sandbox may forbid it; the work is the same.
  }
}
