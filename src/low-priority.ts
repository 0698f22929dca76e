import { setPriority } from 'node:os'

/**
 * Lowers the priority of the calling thread below that of the serving thread. Only on Linux, because elsewhere the
 * priority is that of the whole process.
 */
export function lowerPriority(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(0, 10)
  } catch {
    // A sandbox may forbid it; the thread works at normal priority.
  }
}
