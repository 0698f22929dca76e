import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from './build.ts'
import { Registry } from './lib/registry.ts'
import { type Server, startServer } from './lib/server.ts'
import { type TemporaryFolder, temporaryFolder } from './lib/temporary-folder.ts'
import type { Act, Actor } from './soak/actor.ts'
import { blobActs, pushSame } from './soak/blob-acts.ts'
import { checkDataFolder } from './soak/data-folder.ts'
import { Ledger } from './soak/ledger.ts'
import { manifestActs } from './soak/manifest-acts.ts'
import { Random } from './soak/random.ts'
import { type Sample, Samples } from './soak/samples.ts'
import { verify } from './soak/verification.ts'

const clientCount = 6
const shared = 'soak/shared'
/** A round's server lives for so long at most; at least it sees a push begin. */
const roundMillisecondsMax = 900
/** A start that is killed, too, is killed within so long. */
const startMillisecondsMax = 120

/** All that lasts over the rounds. */
interface Soak {
  data: string
  executable: string
  random: Random
  samples: Samples
  ledger: Ledger
  /** What was read as a whole: by HTTP, and on disk. */
  seen: { served: Set<string>; stored: Set<string> }
}

/**
 * `soak [--rounds 50] [--seed <number>]`: kills the executable at random moments while clients push, mount, tag and
 * delete, starts it again, and compares what it has with what it had acknowledged.
 * @throws Error with all that was wrong, and the seed
 */
export async function run(args: string[]): Promise<void> {
  const options = { rounds: { type: 'string', default: '50' }, seed: { type: 'string' } } as const
  const { values } = parseArgs({ args, options })
  const rounds = Number(values.rounds)
  const seed = Number(values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0])
  if (!(rounds > 0) || !Number.isInteger(seed)) throw new Error('usage: soak [--rounds 50] [--seed <number>]')
  console.log(`soak: ${rounds} rounds, ${clientCount} clients, seed ${seed}`)
  await using folder = await temporaryFolder('soak')
  const soak = await begin(folder, seed)
  const sum = { compared: 0, finished: 0 }
  for (let round = 1; round <= rounds; round++) {
    await crash(soak)
    const { faults, ...counts } = await examine(soak, round === rounds)
    sum.compared += counts.compared
    sum.finished += counts.finished
    if (faults.length === 0) continue
    throw new Error(`soak --seed ${seed}, after kill ${round} of ${rounds}:\n${faults.join('\n')}`)
  }
  const { acknowledged, uploads } = soak.ledger
  console.log(
    `${rounds} kills: ${acknowledged} acknowledged changes, ${sum.compared} comparisons, ${sum.finished} uploads ` +
      `went on and closed, ${uploads.size} are open; nothing was lost, half visible or left over`,
  )
}

async function begin(folder: TemporaryFolder, seed: number): Promise<Soak> {
  const random = new Random(seed)
  const [data, executable] = [join(folder.path, 'data'), join(folder.path, 'cay')]
  await mkdir(data)
  // A build meanwhile must not put another version in the middle of the rounds.
  await copyFile(process.env.CAY_EXECUTABLE ?? (await build()), executable)
  return {
    data,
    executable,
    random,
    samples: new Samples(random.fork()),
    ledger: new Ledger(),
    seen: { served: new Set(), stored: new Set() },
  }
}

/** Lets the clients work until the server is killed; now and then a start is killed, too. */
async function crash(soak: Soak): Promise<void> {
  const { random } = soak
  const server = await startServer({ data: soak.data, executable: soak.executable })
  const state = { killed: false }
  const same = soak.samples.make(random, 8 + random.below(1024 * 1024))
  soak.ledger.samples.set(same.digest, same)
  const clients = actors(soak, server).map((actor) => work(actor, same, state))
  const failed = Promise.all(clients)
  await Promise.race([Bun.sleep(random.below(roundMillisecondsMax)), failed])
  state.killed = true
  await kill(server)
  await failed
  if (random.chance(0.25)) await killStart(soak)
}

/** What one client does, without a pause, until the server is gone. */
async function work(actor: Actor, same: Sample, state: { killed: boolean }): Promise<void> {
  const acts = [...blobActs, ...manifestActs].flatMap(([share, act]) => Array<Act>(share).fill(act))
  try {
    await pushSame(actor, same)
    while (!state.killed) await actor.random.pick(acts)?.(actor)
  } catch (error) {
    const isGone = error instanceof Error && error.name !== 'UnexpectedAnswer'
    if (!state.killed || !isGone) throw error
  }
}

async function kill(server: Server): Promise<void> {
  process.kill(server.pid, 'SIGKILL')
  await server.stop()
}

async function killStart({ executable, data, random }: Soak): Promise<void> {
  const command = [executable, 'serve', '--listen', '127.0.0.1:0', '--data', data, '--access', 'open']
  const child = Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'] })
  await Bun.sleep(random.below(startMillisecondsMax))
  child.kill('SIGKILL')
  await child.exited
}

/** Starts the server again and looks at all that it has; at the end every byte is read. */
async function examine(soak: Soak, isLast: boolean) {
  await using server = await startServer({ data: soak.data, executable: soak.executable })
  const [actor] = actors(soak, server)
  if (actor === undefined) throw new Error('there are no clients')
  const { served, stored } = soak.seen
  const left = await checkDataFolder(soak.data, stored)
  const findings = await verify(actor, isLast ? new Set() : served)
  const right = isLast ? await checkDataFolder(soak.data, new Set()) : []
  return { ...findings, faults: [...left, ...findings.faults, ...right] }
}

function actors({ random, samples, ledger }: Soak, server: Server): Actor[] {
  const repositories = Array.from({ length: clientCount }, (_, number) => `soak/client-${number}`)
  const registry = new Registry(server.address)
  return repositories.map((repository) => {
    return { registry, ledger, samples, random: random.fork(), repository, repositories, shared }
  })
}
