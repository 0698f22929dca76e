import type { Registry } from '../lib/registry.ts'
import type { Server } from '../lib/server.ts'
import type { Random } from './random.ts'
import type { Samples } from './samples.ts'

/** One of the concurrent clients. */
export interface Client {
  registry: Registry
  random: Random
  samples: Samples
  /** The repository that only this client changes. */
  repository: string
  /** A repository that all clients push to. */
  shared: string
}

/** What clients do between kills, and how the result is checked. */
export interface Trial {
  /** Settings of the server. */
  env: Record<string, string>
  /** Returns how long a server lives, in milliseconds. */
  roundMilliseconds(): number
  /** Starts the clients, which work until `state` says that the server was killed. */
  work(server: Server, state: State): Promise<void>[]
  /** Prepares the examination. Called after a kill, before the server is started again. */
  beforeExamination?(): Promise<void>
  /** Returns what is wrong after a kill, while no client works. At the end it reads more. */
  examine(server: Server, isLast: boolean): Promise<string[]>
  /** Returns a summary for people. */
  summary(): string
  /** Stops everything else that the trial runs. */
  close?(): Promise<void>
}

export interface State {
  over: boolean
}

/** What a trial works with. */
export interface TrialContext {
  data: string
  random: Random
  samples: Samples
  /** The repositories of the clients, one each, and the one that all of them push to. */
  repositories: string[]
  shared: string
}

/** Actions, with their frequencies and names. */
export type Deck<C> = [share: number, name: string, act: (client: C) => Promise<void>][]

/** Runs `first`, and then one action after the other without a pause, until the server is gone. */
export async function workThrough<C extends Client>(
  client: C,
  deck: Deck<C>,
  state: State,
  { first, onDone }: { first?: (client: C) => Promise<void>; onDone?: (name: string) => void } = {},
): Promise<void> {
  const acts = deck.flatMap((entry) => Array<(typeof deck)[number]>(entry[0]).fill(entry))
  try {
    await first?.(client)
    while (!state.over) {
      const [, name = '', act] = client.random.pick(acts) ?? []
      await act?.(client)
      onDone?.(name)
    }
  } catch (error) {
    const isGone = error instanceof Error && error.name !== 'UnexpectedAnswer'
    if (!state.over || !isGone) throw error
  }
}
