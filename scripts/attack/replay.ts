import { throwFaults } from '../lib/cases.ts'
import { audit, grants, guesses, lockout, rotation } from './accounts.ts'
import { contentLength, slowBodies } from './bodies.ts'
import { type AttackCase, isWithin } from './case.ts'
import { conversions, describing, largePushes, referrers } from './describing.ts'
import { slowReaders } from './readers.ts'
import { startTarget } from './target.ts'
import { timing } from './timing.ts'
import { watchers } from './watchers.ts'

const CASES: AttackCase[] = [
  contentLength,
  slowBodies,
  slowReaders,
  grants,
  describing,
  conversions,
  referrers,
  largePushes,
  watchers,
  rotation,
  lockout,
  guesses,
  audit,
  timing,
]

/**
 * `attack replay [--only <case>]`: each attack that once worked, on a server of its own, and what somebody else notices.
 * @throws Error with what is not within its limit
 */
export async function replay(names: string[]): Promise<void> {
  const known = CASES.map(({ name }) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new Error(`there is no attack ${unknown}: ${known.join(', ')}`)
  const faults: string[] = []
  for (const attack of CASES.filter(({ name }) => names.length === 0 || names.includes(name))) {
    await using target = await startTarget()
    for (const measured of await attack.run(target)) {
      const { what, before, now, unit, limit } = measured
      const line = `${attack.name}: ${what}: ${rounded(now)} ${unit} (${limit.join(' ')}; before: ${before})`
      console.log(`${isWithin(measured) ? 'ok  ' : 'FAIL'} ${line}`)
      if (!isWithin(measured)) faults.push(line)
    }
  }
  throwFaults(faults)
}

function rounded(value: number): string {
  return value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en-US')
}
