import { createInterface } from 'node:readline/promises'
import { CommandError, EXIT } from '../failure.ts'
import { sanitize, type Terminal } from '../output/terminal.ts'

/**
 * Says what a command will destroy, and asks for confirmation unless --yes was given. Throws a CommandError unless the
 * user confirms, and if there is no terminal to ask on.
 */
export async function confirm(what: string, hasSaidYes: boolean, { canAsk, note }: Terminal): Promise<void> {
  if (hasSaidYes) return
  if (!canAsk) throw new CommandError(`this ${what}; pass --yes to confirm`, EXIT.usage)
  note(sanitize(`This ${what}.`))
  if (!(await answersYes('Continue? [y/N] '))) throw new CommandError('canceled: nothing was changed')
}

async function answersYes(question: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // The end of the input counts as no.
  const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  try {
    return /^y(es)?$/i.test((await Promise.race([lines.question(question), ended])).trim())
  } finally {
    lines.close()
  }
}
