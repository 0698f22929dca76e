import { fuzz } from './attack/fuzz.ts'
import { replay } from './attack/replay.ts'

/** `attack`: replays the attacks that once worked; `attack fuzz`: sends mutated requests. */
export async function run([name = 'replay', ...args]: string[]): Promise<void> {
  if (name === 'replay') return await replay(args)
  if (name === 'fuzz') return await fuzz(args)
  throw new Error('usage: attack [replay [<case> ...]] | attack fuzz [--minutes 5] [--seed <number>]')
}
