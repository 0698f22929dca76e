import { join } from 'node:path'
import { bringTools, type ToolName } from './toolchain.ts'

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

const testCounts = /^ *(\d+) pass$[\s\S]*^ *(\d+) fail$/gm
const caseCounts = /^(\d+) passed, (\d+) failed$/gm

const steps: Step[] = [
  { name: 'check', args: ['check'] },
  { name: 'test', command: ['npm', 'test'], counts: testCounts },
  { name: 'conformance', args: ['conformance'], counts: caseCounts },
  { name: 'api', args: ['schemathesis'], counts: caseCounts },
  { name: 'clients', args: ['clients'], counts: caseCounts },
  { name: 'readme', args: ['readme'], counts: caseCounts },
  { name: 'differential', args: ['differential'], counts: caseCounts },
  { name: 'docker-v1', args: ['docker-v1'], counts: caseCounts },
  { name: 'tls-clients', args: ['tls-clients'], counts: caseCounts },
  { name: 'durability', args: ['durability'], needs: ['strace'] },
  { name: 'disk-full', args: ['disk-full'] },
  { name: 'upkeep', args: ['upkeep'], counts: caseCounts },
  { name: 'cache-full', args: ['cache-full'] },
  { name: 'soak', args: ['soak', '--rounds', '6'] },
  { name: 'attack', args: ['attack'] },
  { name: 'fuzz', args: ['attack', 'fuzz', '--minutes', '5'] },
  { name: 'page', args: ['page'], needs: ['chromium'] },
  { name: 'installs', args: ['installs'], counts: caseCounts },
]

/** `ci`: runs all steps, also after a failed one, and prints on the last line how many cases passed and failed. */
export async function run(): Promise<void> {
  process.chdir(join(import.meta.dir, '..'))
  let [passed, failed] = [0, 0]
  const summary: string[] = []
  for (const step of steps) {
    console.log(`\n== ${step.name}`)
    const start = performance.now()
    const { exitCode, output } = await runStep(step)
    const counted = count(step, exitCode, output)
    passed += counted.passed
    failed += counted.failed
    const seconds = ((performance.now() - start) / 1000).toFixed(1)
    summary.push(`${step.name}: ${counted.passed} passed, ${counted.failed} failed, ${seconds} s`)
    console.log(`== ${summary.at(-1)}`)
  }
  console.log(`\n${summary.join('\n')}\n${passed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

/** Runs a step, and prints and returns its output. */
async function runStep({
  args = [],
  command,
  needs = [],
}: Step): Promise<{ exitCode: number; output: string }> {
  await bringTools(needs)
  const child = Bun.spawn(command ?? [process.execPath, 'scripts/main.ts', ...args], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let output = ''
  const show = async (stream: ReadableStream<Uint8Array>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      process.stdout.write(text)
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
