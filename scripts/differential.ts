import { type CaseResult, printResult } from './clients/client.ts'
import { conversion } from './differential/conversion.ts'
import { negotiation } from './differential/negotiation.ts'
import type { Cases, Registries } from './differential/registries.ts'
import { signatures } from './differential/signatures.ts'
import { skopeo } from './differential/skopeo.ts'
import { startDockerRegistry } from './lib/docker-registry.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

const parts: Record<string, (registries: Registries) => Promise<Cases>> = {
  negotiation,
  conversion,
  signatures,
  skopeo,
}

/**
 * `differential [--only part]`: gives the same to the executable and to Debian's docker-registry 2.8 with schema 1
 * switched on, asks both the same, and compares what they answer. Where cay is meant to differ, the table says why.
 */
export async function run(args: string[]): Promise<void> {
  const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : undefined
  await using folder = await temporaryFolder('differential')
  await using peer = await startDockerRegistry()
  await using server = await startServer()
  const registries = { cay: server.address, peer: peer.address, folder: folder.path }
  const results: CaseResult[] = []
  const report = (result: CaseResult) => {
    results.push(result)
    printResult(result)
  }
  for (const [part, prepare] of Object.entries(parts)) {
    if (only === undefined || only === part) await runPart(part, prepare(registries), report)
  }
  const failed = results.filter(({ error }) => error !== undefined).length
  if (failed > 0) console.log(`The server's log:\n${server.log()}`)
  console.log(`${results.length - failed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

/** Runs the cases of a part one after the other; one that cannot be prepared counts as a case that failed. */
async function runPart(
  part: string,
  prepared: Promise<Cases>,
  report: (result: CaseResult) => void,
): Promise<void> {
  const cases = await prepared.catch((error: unknown): Cases => ({ prepare: () => Promise.reject(error) }))
  for (const [name, runCase] of Object.entries(cases)) {
    const start = performance.now()
    const error = await runCase().then(
      () => undefined,
      (cause: unknown) => ({ cause }),
    )
    const milliseconds = Math.round(performance.now() - start)
    report({ client: part, case: name, milliseconds, ...(error && { error: error.cause }) })
  }
}
