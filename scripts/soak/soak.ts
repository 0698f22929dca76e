import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from '../build.ts'
import { type Server, startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { collectorTrial } from './collector.ts'
import { fillsTrial } from './fills.ts'
import { pushesTrial } from './pushes.ts'
import { Random } from './random.ts'
import { Samples } from './samples.ts'
import type { Trial, TrialContext } from './trial.ts'

const clientCount = 6
/** The longest time until a kill that also hits the start. */
const startMillisecondsMax = 120
const startKilledShare = 0.25
const faultsShownMax = 40

const trials: Record<string, (context: TrialContext) => Trial> = {
  pushes: pushesTrial,
  collector: collectorTrial,
  fills: fillsTrial,
}

/**
 * `soak [--only pushes|collector|fills] [--rounds 50] [--seed <number>]`: kills the executable (SIGKILL) while clients work,
 * starts it again, and compares its content with what it had acknowledged. In `pushes`, clients push, mount, tag and
 * delete, and nothing that was acknowledged may be missing. In `collector`, they also delete and restore while the
 * collector works with a grace period of one second, and in the end only tagged content may be left. In `fills`, they pull
 * through the cache: downloads must resume, and what was cached must be served without the upstream.
 * @throws Error with all violations, and the seed
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '50' },
      seed: { type: 'string' },
    },
  })
  const rounds = Number(values.rounds)
  const seed = Number(values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0])
  const chosen = Object.entries(trials).filter(([name]) => name === (values.only ?? name))
  if (!(rounds > 0) || !Number.isInteger(seed) || chosen.length === 0)
    throw new Error('usage: soak [--only pushes|collector|fills] [--rounds 50] [--seed <number>]')
  for (const [name, open] of chosen) {
    console.log(`${name}: ${rounds} rounds, ${clientCount} clients, seed ${seed}`)
    console.log(await soak(name, open, rounds, seed))
  }
}

async function soak(
  name: string,
  open: (context: TrialContext) => Trial,
  rounds: number,
  seed: number,
): Promise<string> {
  await using folder = await temporaryFolder('soak')
  const [data, executable] = [join(folder.path, 'data'), join(folder.path, 'cay')]
  await mkdir(data)
  // All rounds use one executable, even if somebody builds another one meanwhile.
  await copyFile(process.env.CAY_EXECUTABLE ?? (await build()), executable)
  const random = new Random(seed)
  const repositories = Array.from({ length: clientCount }, (_, number) => `soak/client-${number}`)
  const samples = new Samples(random.fork())
  const trial = open({ data, random, samples, repositories, shared: 'soak/shared' })
  try {
    await runRounds(name, trial, { data, executable, rounds, seed, random })
    return `${rounds} kills: ${trial.summary()}`
  } finally {
    await trial.close?.()
  }
}

interface Rounds {
  data: string
  executable: string
  rounds: number
  seed: number
  random: Random
}

/** @throws Error that says what is wrong after a kill */
async function runRounds(
  name: string,
  trial: Trial,
  { data, executable, rounds, seed, random }: Rounds,
): Promise<void> {
  const start = () => startServer({ data, executable, env: trial.env })
  for (let round = 1; round <= rounds; round++) {
    await crash(await start(), trial)
    if (random.chance(startKilledShare)) await killStart([executable, 'serve', '--data', data], random)
    await trial.beforeExamination?.()
    await using server = await start()
    const faults = await trial.examine(server, round === rounds)
    if (faults.length === 0) continue
    const shown = faults.slice(0, faultsShownMax).join('\n')
    throw new Error(`soak --only ${name} --seed ${seed}, after kill ${round} of ${rounds}:\n${shown}`)
  }
}

/** Runs the clients until the server is killed. */
async function crash(server: Server, trial: Trial): Promise<void> {
  const state = { over: false }
  const failed = Promise.all(trial.work(server, state))
  await Promise.race([Bun.sleep(trial.roundMilliseconds()), failed])
  state.over = true
  process.kill(server.pid, 'SIGKILL')
  await server.stop()
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
