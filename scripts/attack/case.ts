import type { Target } from './target.ts'

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

/** How long something takes, in milliseconds. */
export async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** The longest that `/livez` took while something else went on, in milliseconds. */
export async function longestLivez({ url }: Target, work: () => Promise<unknown>): Promise<number> {
  const state = { isDone: false, longest: 0 }
  const probe = async () => {
    while (!state.isDone) {
      const taken = await millisecondsOf(() => fetch(`${url}/livez`, { tls: { rejectUnauthorized: false } }))
      state.longest = Math.max(state.longest, taken)
      await Bun.sleep(5)
    }
  }
  const probing = probe()
  try {
    await work()
  } finally {
    state.isDone = true
    await probing
  }
  return state.longest
}

export function isWithin({ now, limit: [is, value] }: Measured): boolean {
  return is === 'at most' ? now <= value : now >= value
}
