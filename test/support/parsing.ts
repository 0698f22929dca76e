import { RegistryError } from '../../src/oci/error.ts'

/** Returns the code of the RegistryError that `run` throws, or `none`; rethrows other errors. */
export function codeOf(run: () => unknown): string {
  try {
    run()
    return 'none'
  } catch (error) {
    if (error instanceof RegistryError) return error.entries[0]?.code ?? ''
    throw error
  }
}

/** Returns the fastest of several runs in milliseconds, which excludes the noise of a busy machine. */
export function millisecondsOf(run: () => unknown): number {
  const tries = Array.from({ length: 5 }, () => {
    const began = performance.now()
    run()
    return performance.now() - began
  })
  return Math.min(...tries)
}

/** Inputs that make a backtracking regular expression very slow: long strings that almost match. */
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
