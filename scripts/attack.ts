import { fuzz } from './attack/fuzz.ts'

/** `attack fuzz ...`: attacks the executable. */
export async function run([name = '', ...args]: string[]): Promise<void> {
  if (name === 'fuzz') return await fuzz(args)
  throw new Error('usage: attack fuzz [--minutes 5] [--seed <number>]')
}
