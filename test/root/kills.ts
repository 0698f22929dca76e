import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { isDigestOf } from '../../scripts/lib/image.ts'
import type { Answer, Registry, Sent } from '../../scripts/lib/registry.ts'
import { type Server, startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { Random, Samples, seedFrom } from './samples.ts'

/** How many times the server is killed. */
const rounds = Number(process.env.SOAK_ROUNDS ?? 3)
/** Much more than the rounds take, in milliseconds. */
export const soakMillisecondsMax = 120_000 + rounds * 60_000

const clientCount = 6
/** The longest time until a kill that also hits the start. */
const startMillisecondsMax = 120
const startKilledShare = 0.25
const faultsShownMax = 40
const requestsAtOnce = 16

/** One of the concurrent clients. */
export interface Client {
  registry: Registry
  random: Random
  /** The repository that only this client changes. */
  repository: string
}

/** What clients do between kills, and how the result is checked. */
export interface Trial {
  /** Settings of the server. */
  env?: Record<string, string>
  /** Returns how long a server lives, in milliseconds. */
  lifetime(): number
  /** Starts the clients, which work until `state` says that the server was killed. */
  work(server: Server, state: State): Promise<void>[]
  /** Prepares the examination. Called after a kill, before the server is started again. */
  beforeExamination?(): Promise<void>
  /** Returns what is wrong after a kill, while no client works. At the end it reads more. */
  examine(server: Server, isLast: boolean): Promise<string[]>
  /** Returns what has happened, for people. */
  summary(): string
  /** Stops everything else that the trial runs. */
  close?(): Promise<void>
}

export interface State {
  isOver: boolean
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

/** Actions, with their frequencies. */
export type Deck<C> = [share: number, act: (client: C) => Promise<unknown>][]

/**
 * Kills the executable (SIGKILL) while clients work, starts it again, and compares its content with what it had
 * acknowledged. `SOAK_ROUNDS` is the number of kills, `SOAK_SEED` repeats a run.
 * @throws Error with everything that is wrong, and the seed
 */
export async function killAndCompare(open: (context: TrialContext) => Trial): Promise<void> {
  await using folder = await temporaryFolder('soak')
  const [data, executable] = [join(folder.path, 'data'), join(folder.path, 'cay')]
  await mkdir(data)
  // All rounds use one executable, even if somebody builds another one meanwhile.
  await copyFile(process.env.CAY_EXECUTABLE ?? (await build()), executable)
  const seed = seedFrom('SOAK_SEED')
  const random = new Random(seed)
  const repositories = Array.from({ length: clientCount }, (_, number) => `soak/client-${number}`)
  const trial = open({
    data,
    random,
    samples: new Samples(random.fork()),
    repositories,
    shared: 'soak/shared',
  })
  const start = () => startServer({ data, executable, env: trial.env ?? {} })
  try {
    for (let round = 1; round <= rounds; round++) {
      await crash(await start(), trial)
      if (random.chance(startKilledShare)) await killStart([executable, 'serve', '--data', data], random)
      await trial.beforeExamination?.()
      await using server = await start()
      const faults = await trial.examine(server, round === rounds)
      if (faults.length === 0) continue
      const shown = faults.slice(0, faultsShownMax).join('\n')
      throw new Error(`SOAK_SEED=${seed}, after kill ${round} of ${rounds}:\n${shown}`)
    }
    console.log(`${rounds} kills, seed ${seed}: ${trial.summary()}`)
  } finally {
    await trial.close?.()
  }
}

/** Runs the clients until the server is killed. */
async function crash(server: Server, trial: Trial): Promise<void> {
  const state = { isOver: false }
  const failed = Promise.all(trial.work(server, state))
  try {
    await Promise.race([Bun.sleep(trial.lifetime()), failed])
  } finally {
    state.isOver = true
    process.kill(server.pid, 'SIGKILL')
    await server.stop()
  }
  await failed
}

async function killStart(command: string[], random: Random): Promise<void> {
  const child = Bun.spawn([...command, '--listen', '127.0.0.1:0', '--access', 'open'], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  await Bun.sleep(random.below(startMillisecondsMax))
  child.kill('SIGKILL')
  await child.exited
}

/** Runs `first`, and then one action after the other without a pause, until the server is gone. */
export async function workThrough<C extends Client>(
  client: C,
  deck: Deck<C>,
  state: State,
  first?: (client: C) => Promise<void>,
): Promise<void> {
  const acts = deck.flatMap(([share, act]) => Array<typeof act>(share).fill(act))
  try {
    await first?.(client)
    while (!state.isOver) await client.random.pick(acts)?.(client)
  } catch (error) {
    const isGone = error instanceof Error && error.name !== 'UnexpectedAnswer'
    if (!state.isOver || !isGone) throw error
  }
}

/** The value of a register: a digest, or null if it has none. */
type Value = string | null

/** A requested change. It is acknowledged if `ended` is finite. */
interface Write {
  value: Value
  /** It applies only if the register has this value. */
  only: Value | undefined
  began: number
  ended: number
}

/** A value that changes atomically: the target of a tag, or whether a repository has a blob or a manifest. */
export interface Register {
  kind: 'tag' | 'manifest' | 'blob'
  repository: string
  /** The tag's name or the digest. */
  name: string
  writes: Write[]
}

export interface Change {
  register: Register
  value: Value
  only?: Value
}

/** A client that records its requests. */
export interface Recording {
  registry: Registry
  ledger: Ledger
}

/**
 * What clients requested and what was acknowledged, and therefore what the registry may contain after a crash: in each
 * register, the value of a write that no acknowledged write has certainly followed. A write certainly follows another one if
 * it began after the other one had ended.
 */
export class Ledger {
  /** The writes of one request, which are atomic. */
  readonly groups: { register: Register; write: Write; before: Value[] }[][] = []
  acknowledged = 0
  private readonly registers = new Map<string, Register>()
  private time = 0

  register(kind: Register['kind'], repository: string, name: string): Register {
    const key = `${kind} ${repository} ${name}`
    let register = this.registers.get(key)
    if (register === undefined) {
      register = { kind, repository, name, writes: [{ value: null, only: undefined, began: 0, ended: 0 }] }
      this.registers.set(key, register)
    }
    return register
  }

  /** Returns all registers, or those of one kind and repository. */
  all(kind?: Register['kind'], repository?: string): Register[] {
    return [...this.registers.values()].filter(
      (register) =>
        (kind === undefined || register.kind === kind) &&
        (repository === undefined || register.repository === repository),
    )
  }

  /** Returns the names of a kind that a repository certainly has. */
  certain(kind: Register['kind'], repository: string): string[] {
    return this.all(kind, repository)
      .filter((register) => !possible(register).has(null))
      .map(({ name }) => name)
  }

  /** Records the changes of a request before it is sent. */
  begin(changes: Change[]): Write[] {
    const began = ++this.time
    const group = changes.map(({ register, value, only }) => {
      const before = [...possible(register)]
      const write: Write = { value, only, began, ended: Number.POSITIVE_INFINITY }
      register.writes.push(write)
      return { register, write, before }
    })
    if (group.length > 1 && group.every(({ write }) => write.only === undefined)) this.groups.push(group)
    return group.map(({ write }) => write)
  }

  /** Records that a request succeeded, so its changes are durable. */
  acknowledge(writes: Write[]): void {
    const ended = ++this.time
    for (const write of writes) write.ended = ended
    this.acknowledged++
  }

  /** Records that a request was refused, so its changes did not happen. */
  refuse(writes: Write[]): void {
    for (const register of this.registers.values())
      register.writes = register.writes.filter((write) => !writes.includes(write))
  }

  /** Records the value of a register while no client changes it. */
  settle(register: Register, value: Value): void {
    const now = ++this.time
    register.writes = [{ value, only: undefined, began: now, ended: now }]
  }
}

/** Returns the values that a register may have. */
export function possible({ writes }: Register): Set<Value> {
  const isFollowed = ({ ended, value }: Write) =>
    writes.some(
      (later) =>
        later.began > ended &&
        Number.isFinite(later.ended) &&
        (later.only === undefined || later.only === value),
    )
  return new Set(writes.filter((write) => !isFollowed(write)).map(({ value }) => value))
}

export function nameOf({ kind, repository, name }: Register): string {
  return `${kind} ${repository} ${name}`
}

/** Sends a request that changes something, and records before and after it what it may change and has changed. */
export async function change(
  { registry, ledger }: Recording,
  changes: Change[],
  [method, path, sent]: [string, string, Sent?],
  statuses: { done: number; refused?: number[] },
): Promise<Answer> {
  const writes = ledger.begin(changes)
  const answer = await registry.expect([statuses.done, ...(statuses.refused ?? [])], method, path, sent)
  if (answer.status === statuses.done) ledger.acknowledge(writes)
  else ledger.refuse(writes)
  return answer
}

/**
 * Compares each register with what the server shows while no client works, and settles it. Returns what differs: a change
 * that was acknowledged and is missing, content with other bytes, and requests of which a half is visible.
 *
 * @param shared the repository that several clients change
 * @param seen content that need not be read again; what was read is added
 */
export async function compareWithLedger(
  { registry, ledger }: Recording,
  shared: string,
  seen: Set<string>,
): Promise<string[]> {
  const faults: string[] = []
  const shown = new Map<Register, Value>()
  const rest = ledger.all()
  const showNext = async () => {
    for (let register = rest.shift(); register !== undefined; register = rest.shift())
      shown.set(register, await show(registry, register, seen, faults))
  }
  await Promise.all(Array.from({ length: requestsAtOnce }, showNext))
  for (const [register, value] of shown) {
    const allowed = possible(register)
    if (!allowed.has(value))
      faults.push(`${nameOf(register)} is ${value}, but was acknowledged as ${[...allowed].join(' or ')}`)
  }
  checkGroups(ledger, shown, shared, faults)
  for (const [register, value] of shown) ledger.settle(register, value)
  return faults
}

/** Requests the value of a register. Content that is seen for the first time is read completely. */
async function show(registry: Registry, register: Register, seen: Set<string>, faults: string[]) {
  const { kind, repository, name } = register
  const path = `/v2/${repository}/${kind === 'blob' ? 'blobs' : 'manifests'}/${name}`
  const isNew = kind !== 'tag' && !seen.has(`${repository} ${name}`)
  const answer = await registry.expect([200, 404], isNew ? 'GET' : 'HEAD', path)
  if (answer.status === 404) return null
  const digest = answer.headers.get('docker-content-digest')
  if (kind !== 'tag' && digest !== name) faults.push(`${nameOf(register)} is served as ${digest}`)
  if (isNew && !isDigestOf(name, answer.bytes)) faults.push(`${nameOf(register)} has other bytes`)
  seen.add(`${repository} ${name}`)
  return digest
}

/** All changes of a request have happened, or none. In the shared repository, others may have followed. */
function checkGroups({ groups }: Ledger, shown: Map<Register, Value>, shared: string, faults: string[]) {
  for (const group of groups.splice(0)) {
    const visible = group.filter(({ write, before }) => !before.includes(write.value))
    const isAnswered = group.some(({ write }) => Number.isFinite(write.ended))
    if (isAnswered || visible.some(({ register }) => register.repository === shared)) continue
    const happened = visible.filter(({ register, write }) => shown.get(register) === write.value)
    if (happened.length === 0 || happened.length === visible.length) continue
    faults.push(`half of a request is visible: ${visible.map(({ register }) => nameOf(register)).join(', ')}`)
  }
}
