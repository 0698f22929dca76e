import { join } from 'node:path'
import { bringTools, type ToolName } from './toolchain/toolchain.ts'

/** A step of the CI run. */
interface Step {
  name: string
  /** Arguments of these tools; without them, `command` is run. */
  args?: string[]
  command?: string[]
  /** What is installed or built before, where it is missing. */
  needs?: ToolName[]
  /** Finds in the output how many cases passed and how many failed; without it the step counts as one. */
  counts?: RegExp
}

/** What a step has shown. */
interface Result {
  name: string
  passed: number
  failed: number
  seconds: number
}

const testCounts = /^ *(\d+) pass$[\s\S]*^ *(\d+) fail$/gm
const caseCounts = /^(\d+) passed, (\d+) failed$/gm

/** In order. Steps of an inner list run at the same time, as they measure no time. */
const steps: (Step | Step[])[] = [
  { name: 'check', args: ['check'] },
  { name: 'test', command: ['npm', 'test'], counts: testCounts },
  { name: 'conformance', args: ['conformance'], counts: testCounts },
  { name: 'api', args: ['schemathesis'], counts: caseCounts },
  { name: 'clients', args: ['clients'], counts: testCounts },
  {
    name: 'readme',
    command: [process.execPath, 'test', './test/clients/readme.suite.ts', '--timeout', '300000'],
    needs: ['dockerd', 'skopeo', 'podman', 'crane', 'oras', 'helm3', 'nginx', 'caddy', 'fail2ban-regex'],
    counts: testCounts,
  },
  rootSuite('durability', ['durability'], ['strace']),
  rootSuite('attacks', ['attacks', 'memory'], ['wrk']),
  [
    rootSuite('fuzz', ['fuzz']),
    rootSuite('soak', ['pushes', 'fills', 'collector', 'full-disk']),
    rootSuite('upkeep', ['upkeep'], ['strace', 'docker-registry']),
  ],
  { name: 'page', args: ['page'], needs: ['chromium'] },
  { name: 'installs', args: ['installs'], counts: caseCounts },
]

/** Returns the step of suites in test/root/. */
function rootSuite(name: string, files: string[], needs: ToolName[] = []): Step {
  const paths = files.map((file) => `./test/root/${file}.suite.ts`)
  return { name, command: [process.execPath, 'test', ...paths], needs, counts: testCounts }
}

/** `ci`: runs all steps, also after a failed one, and prints on the last line how many cases passed and failed. */
export async function run(): Promise<void> {
  process.chdir(join(import.meta.dir, '..'))
  const results: Result[] = []
  for (const step of steps) {
    if (!Array.isArray(step)) results.push(await runStep(step, (text) => process.stdout.write(text)))
    else results.push(...(await Promise.all(step.map(runStepQuietly))))
  }
  const [passed, failed] = [sum(results, 'passed'), sum(results, 'failed')]
  console.log(`\n${results.map(format).join('\n')}\n${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

/** Runs a step beside others: its output is printed at its end. */
async function runStepQuietly(step: Step): Promise<Result> {
  const output: string[] = []
  const result = await runStep(step, (text) => output.push(text))
  process.stdout.write(output.join(''))
  return result
}

/** Runs a step and passes on its output as it comes. */
async function runStep(step: Step, print: (text: string) => void): Promise<Result> {
  print(`\n== ${step.name}\n`)
  const start = performance.now()
  const { exitCode, output } = await runCommand(step, print)
  const result = { name: step.name, ...count(step, exitCode, output), seconds: secondsSince(start) }
  print(`== ${format(result)}\n`)
  return result
}

/** Runs a step's command. Returns its exit code and output. */
async function runCommand(
  { args = [], command, needs = [] }: Step,
  print: (text: string) => void,
): Promise<{ exitCode: number; output: string }> {
  await bringTools(needs)
  const child = Bun.spawn(command ?? [process.execPath, 'scripts/main.ts', ...args], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let output = ''
  const show = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      print(text)
      output += text
    }
  }
  await Promise.all([show(child.stdout), show(child.stderr)])
  return { exitCode: await child.exited, output }
}

/** Returns the cases that a step counts. A failed step has at least one failed case. */
function count({ counts }: Step, exitCode: number, output: string): { passed: number; failed: number } {
  const found = counts ? [...output.matchAll(counts)].at(-1) : undefined
  const passed = found ? Number(found[1]) : Number(exitCode === 0 && counts === undefined)
  const failed = Number(found?.[2] ?? 0)
  const broken = exitCode !== 0 || (counts !== undefined && passed === 0)
  return { passed, failed: failed === 0 && broken ? 1 : failed }
}

function sum(results: readonly Result[], key: 'passed' | 'failed'): number {
  return results.reduce((total, result) => total + result[key], 0)
}

function format({ name, passed, failed, seconds }: Result): string {
  return `${name}: ${passed} passed, ${failed} failed, ${seconds.toFixed(1)} s`
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000
}
