import { requestLoad } from '../bench/lib/request-load.ts'
import { whileRepeating } from '../lib/repeated.ts'
import { CHECKER, PASSWORD, pushImage, type Target } from './target.ts'

/** An attack that once worked, replayed; and what somebody else notices of it. */
export interface AttackCase {
  name: string
  run(target: Target): Promise<Measured[]>
}

export interface Measured {
  what: string
  /** What it was before the hole was closed. */
  before: string
  now: number
  unit: string
  limit: [is: 'at most' | 'at least', value: number]
}

export function atMost(what: string, before: string, now: number, unit: string, limit: number): Measured {
  return { what, before, now, unit, limit: ['at most', limit] }
}

export function atLeast(what: string, before: string, now: number, unit: string, limit: number): Measured {
  return { what, before, now, unit, limit: ['at least', limit] }
}

/** How long something takes, in milliseconds. */
export async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** The longest that `/livez` took while something else went on, in milliseconds. */
export async function longestLivez({ nobody }: Target, work: () => Promise<unknown>): Promise<number> {
  let longest = 0
  const probe = async () => {
    longest = Math.max(longest, await millisecondsOf(() => nobody.get('/livez')))
    await Bun.sleep(5)
  }
  await whileRepeating(probe, work)
  return longest
}

/**
 * What a normal user pulls with a password in a second, and how long `/livez` takes, while clients of the attacker repeat
 * something.
 */
export async function pullsBeside(
  target: Target,
  attack: () => Promise<unknown>,
  { clients = 4, seconds = 4 } = {},
): Promise<{ pulls: number; livez: number }> {
  await pushImage(target.checker, `${CHECKER}/app`)
  const request = {
    port: Number(new URL(target.url).port),
    method: 'GET' as const,
    path: `/v2/${CHECKER}/app/manifests/latest`,
    authorization: `Basic ${btoa(`${CHECKER}:${PASSWORD}`)}`,
    connections: 8,
    seconds,
  }
  let pulls = 0
  const measure = async () => {
    pulls = (await requestLoad(request)).requestsPerSecond
  }
  const livez = await whileRepeating(attack, () => longestLivez(target, measure), clients)
  return { pulls, livez }
}

export function isWithin({ now, limit: [is, value] }: Measured): boolean {
  return is === 'at most' ? now <= value : now >= value
}
