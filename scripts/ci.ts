import { join } from 'node:path'
import { build } from './build.ts'
import { runInForeground } from './lib/foreground.ts'
import { bringTools, type ToolName, tools } from './toolchain/toolchain.ts'

/** How many suites run at the same time, and files of one. They mostly wait, for a disk, a client or a start. */
const SUITES_AT_ONCE = 3
const FILES_AT_ONCE = 2

/** No suite measures time: this only ends a test that hangs, on a slow and busy machine, too. */
const TIMEOUT_MILLISECONDS = 300_000

/** A step of the CI run. */
interface Suite {
  name: string
  /** Files of `bun test`, by their path in test/ without `.suite.ts`. */
  files?: string[]
  /** What is run instead. Unless it `isTest`, which prints how many cases passed and failed, it counts as one case. */
  command?: string[]
  isTest?: true
  /** What is installed or built before, where it is missing. */
  tools?: ToolName[]
  /** Makes what several files would make at the same time. */
  prepare?: () => Promise<void>
  env?: Record<string, string>
  /** Nothing else runs meanwhile, and one file after the other. */
  alone?: true
}

/** What a suite has shown. */
interface Result {
  name: string
  passed: number
  failed: number
  seconds: number
}

/** What `bun test` prints at its end. */
const testCounts = /^ *(\d+) pass$[\s\S]*^ *(\d+) fail$/gm

/** In order. Of those that run at the same time, the long ones start first, and so do long files. */
const suites: Suite[] = [
  { name: 'check', command: [process.execPath, 'scripts/main.ts', 'check'], alone: true },
  { name: 'test', command: ['npm', 'test'], isTest: true, alone: true },
  {
    name: 'clients',
    files: [
      ...['login', 'models', 'docker', 'tools', 'cache', 'containers', 'differential'],
      ...['signatures', 'buildkit', 'artifacts', 'docker-v1'],
    ].map((name) => `clients/${name}`),
  },
  {
    name: 'installs',
    files: ['root/installs-debian', 'root/installs-release', 'root/installs-containers'],
    prepare: async () => void (await (await import('../test/root/installation.ts')).ownImage()),
  },
  { name: 'soak', files: ['root/pushes', 'root/fills', 'root/collector', 'root/full-disk'] },
  { name: 'conformance', files: ['clients/conformance'] },
  { name: 'upkeep', files: ['root/upkeep'], tools: ['strace', 'docker-registry'] },
  { name: 'fuzz', files: ['root/fuzz'] },
  { name: 'page', files: ['browser/pages', 'browser/acts'], tools: ['chromium'] },
  {
    name: 'readme',
    files: ['clients/readme'],
    tools: ['dockerd', 'skopeo', 'podman', 'crane', 'oras', 'helm3', 'nginx', 'caddy', 'fail2ban-regex'],
  },
  { name: 'api', files: ['clients/api'], tools: ['schemathesis'] },
  { name: 'durability', files: ['root/durability'], tools: ['strace'], alone: true },
  { name: 'attack', files: ['root/attacks', 'root/memory'], tools: ['wrk'], alone: true },
]

/**
 * `ci [NAME...]`: runs the named suites, by default all, also after a failed one, and prints on the last line how many
 * cases passed and failed.
 */
export async function ci(names: string[]): Promise<void> {
  process.chdir(join(import.meta.dir, '..'))
  const results: Result[] = []
  const waiting = suites.filter(({ name }) => names.length === 0 || names.includes(name))
  while (waiting.length > 0) {
    const beside = waiting.findIndex(({ alone }) => alone)
    const group = waiting.splice(0, beside < 0 ? waiting.length : Math.max(beside, 1))
    results.push(...(await runGroup(group)))
  }
  const [passed, failed] = [sum(results, 'passed'), sum(results, 'failed')]
  console.log(`\n${results.map(format).join('\n')}\n${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

/** `suite NAME [arguments]`: runs one suite as CI does, with more arguments of `bun test` or of its command. */
export async function suite([name, ...args]: string[]): Promise<void> {
  process.chdir(join(import.meta.dir, '..'))
  const found = suites.find((one) => one.name === name)
  if (!found) {
    console.error(`unknown suite ${name}: use one of ${suites.map((one) => one.name).join(', ')}`)
    process.exit(2)
  }
  process.exitCode = await runInForeground([...(await commandOf(found)), ...args], found.env)
}

/** Runs suites at the same time. If there are several, the output of each is printed at its end. */
async function runGroup(group: Suite[]): Promise<Result[]> {
  const isAlone = group.length === 1
  // Suites that run at the same time cannot install packages at the same time. One that lacks a tool says so itself.
  if (!isAlone) await bringTools(Object.keys(tools) as ToolName[]).catch(() => undefined)
  const results: Result[] = []
  const runNext = async () => {
    for (let next = group.shift(); next !== undefined; next = group.shift()) {
      const output: string[] = []
      const keep = (text: string) => void output.push(text)
      results.push(await report(next, isAlone ? (text) => void process.stdout.write(text) : keep))
      process.stdout.write(output.join(''))
    }
  }
  await Promise.all(Array.from({ length: SUITES_AT_ONCE }, runNext))
  return results
}

/** Runs a suite, and passes on its output as it comes. */
async function report(one: Suite, print: (text: string) => void): Promise<Result> {
  print(`\n== ${one.name}\n`)
  const start = performance.now()
  let output = ''
  const show = (text: string) => {
    print(text)
    output += text
  }
  const exitCode = await run(one, show).catch((error) => {
    show(`${error}\n`)
    return 1
  })
  const seconds = (performance.now() - start) / 1000
  const result = { name: one.name, ...count(one, exitCode, output), seconds }
  print(`== ${format(result)}\n`)
  return result
}

/** Runs the command of a suite, and returns its exit code. */
async function run(one: Suite, show: (text: string) => void): Promise<number> {
  const env = { ...process.env, ...one.env }
  const child = Bun.spawn(await commandOf(one), { env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) show(text)
  }
  await Promise.all([read(child.stdout), read(child.stderr)])
  return await child.exited
}

/** Brings the tools of a suite, and returns its command. */
async function commandOf(one: Suite): Promise<string[]> {
  const { files = [], command, alone, tools: needed = [] } = one
  await bringTools(needed)
  if (command) return command
  // Files that run at the same time would all build it.
  await build()
  await one.prepare?.()
  const paths = files.map((file) => `./test/${file}.suite.ts`)
  const parallel = files.length > 1 && !alone ? [`--parallel=${FILES_AT_ONCE}`] : []
  return [process.execPath, 'test', `--timeout=${TIMEOUT_MILLISECONDS}`, ...parallel, ...paths]
}

/** Returns the cases that a suite counts. A failed suite has at least one failed case. */
function count({ command, isTest }: Suite, exitCode: number, output: string) {
  if (command && !isTest) return { passed: Number(exitCode === 0), failed: Number(exitCode !== 0) }
  const [, passed = 0, failed = 0] = [...output.matchAll(testCounts)].at(-1)?.map(Number) ?? []
  const isBroken = exitCode !== 0 || passed === 0
  return { passed, failed: failed === 0 && isBroken ? 1 : failed }
}

function sum(results: readonly Result[], key: 'passed' | 'failed'): number {
  return results.reduce((total, result) => total + result[key], 0)
}

function format({ name, passed, failed, seconds }: Result): string {
  return `${name}: ${passed} passed, ${failed} failed, ${seconds.toFixed(1)} s`
}
