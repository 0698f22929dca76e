import type { Terminal } from './terminal.ts'

/** The shortest time between two lines of progress. */
const PROGRESS_MS_MIN = 1000

/** Shows the progress of work in this process: in the status line of a terminal, otherwise in lines. */
export function openProgress<Arguments extends unknown[]>(
  terminal: Terminal,
  lineOf: (...progress: Arguments) => string,
) {
  let shownAt = terminal.now()
  return {
    progress(...progress: Arguments): void {
      if (terminal.hasBar) terminal.status(lineOf(...progress))
      else if (terminal.now() - shownAt >= PROGRESS_MS_MIN) {
        shownAt = terminal.now()
        terminal.note(lineOf(...progress))
      }
    },
    end(): void {
      if (terminal.hasBar) terminal.status('')
    },
  }
}
