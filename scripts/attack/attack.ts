import { fuzz } from './fuzz.ts'
import { neighbours } from './neighbours.ts'
import { replay } from './replay.ts'

/** `attack`: replays the attacks that once worked; `attack fuzz`: sends mutated requests; `attack neighbours`: attacks beside a user. */
export async function run([name = 'replay', ...args]: string[]): Promise<void> {
  if (name === 'replay') return await replay(args)
  if (name === 'fuzz') return await fuzz(args)
  if (name === 'neighbours') return await neighbours(args)
  throw new Error(
    'usage: attack [replay [<case> ...]] | attack fuzz [--minutes 5] [--seed <number>] | attack neighbours [--seconds 6]',
  )
}
