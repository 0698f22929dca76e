import { Registry } from '../lib/registry.ts'
import type { Server } from '../lib/server.ts'
import type { Act, Actor } from './actor.ts'
import { blobActs, pushSame } from './blob-acts.ts'
import { checkDataFolder } from './data-folder.ts'
import { Ledger } from './ledger.ts'
import { manifestActs } from './manifest-acts.ts'
import { type Deck, type State, type Trial, type TrialContext, workThrough } from './trial.ts'
import { verify } from './verification.ts'

/** How long a server lives at most. It always receives at least the start of a push. */
const roundMillisecondsMax = 900

/** Clients push, mount, tag and delete. After each kill, acknowledged changes must exist, and none may be partial. */
export function pushesTrial(context: TrialContext): Trial {
  const { data, random, samples, repositories, shared } = context
  const ledger = new Ledger()
  /** Blobs whose bytes were verified: over HTTP, and on disk. */
  const seen = { served: new Set<string>(), stored: new Set<string>() }
  const sum = { compared: 0, finished: 0 }
  const deck: Deck<Actor> = [...blobActs, ...manifestActs].map(([share, act]: [number, Act]) => [
    share,
    '',
    act,
  ])
  const actorsOf = ({ address }: Server): Actor[] => {
    const registry = new Registry(address)
    return repositories.map((repository) => {
      return { registry, ledger, samples, random: random.fork(), repository, repositories, shared }
    })
  }
  return {
    env: {},
    roundMilliseconds: () => random.below(roundMillisecondsMax),
    work(server: Server, state: State) {
      const same = samples.make(random, 8 + random.below(1024 * 1024))
      ledger.samples.set(same.digest, same)
      const first = (actor: Actor) => pushSame(actor, same)
      return actorsOf(server).map((actor) => workThrough(actor, deck, state, { first }))
    },
    async examine(server, isLast) {
      const [actor] = actorsOf(server)
      if (actor === undefined) throw new Error('there are no clients')
      const left = await checkDataFolder(data, seen.stored)
      const { faults, compared, finished } = await verify(actor, isLast ? new Set() : seen.served)
      sum.compared += compared
      sum.finished += finished
      return [...left, ...faults, ...(isLast ? await checkDataFolder(data, new Set()) : [])]
    },
    summary: () =>
      `${ledger.acknowledged} acknowledged changes, ${sum.compared} comparisons, ${sum.finished} uploads went on and ` +
      `closed, ${ledger.uploads.size} are open; nothing was lost, half visible or left over`,
  }
}
