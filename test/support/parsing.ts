import { RegistryError } from '../../src/oci/error.ts'

/** The code of the project's error that `run` throws, or `none`; any other error goes through. */
export function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    if (error instanceof RegistryError) return error.entries[0]?.code ?? ''
    throw error
  }
}

/** How many milliseconds `run` takes, at best of some tries: what a busy machine adds is not counted. */
export function millisecondsOf(run: () => unknown): number {
  const tries = Array.from({ length: 5 }, () => {
    const began = performance.now()
    run()
    return performance.now() - began
  })
  return Math.min(...tries)
}

/** What makes a regular expression that backtracks take for ever: long runs that almost match. */
export function longInputs(length: number): string[] {
  const parts = [
    'a',
    '-',
    '_',
    '.',
    'a-',
    'a.',
    '__',
    'a/',
    '0',
    '+',
    ':',
    ' ',
    '=',
    'a+',
    '"',
    ',',
    ';',
    '{',
    '[',
  ]
  return parts.flatMap((part) => {
    const run = part.repeat(length / part.length)
    return [run, `${run}!`, `a${run}!`, `sha256:${run}`, `bytes=${run}`, `${run}/${run}`]
  })
}
