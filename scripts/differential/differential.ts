import { parseArgs } from 'node:util'
import { CaseReport } from '../lib/cases.ts'
import { startPeer } from '../lib/peers.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { conversion } from './conversion.ts'
import { negotiation } from './negotiation.ts'
import type { Cases, Registries } from './registries.ts'
import { signatures } from './signatures.ts'
import { skopeo } from './skopeo.ts'

const parts: Record<string, (registries: Registries) => Promise<Cases>> = {
  negotiation,
  conversion,
  signatures,
  skopeo,
}

/**
 * `differential [--only part]`: pushes the same content to the executable and to Debian's docker-registry 2.8 with
 * schema 1 enabled, sends both the same requests, and compares the responses. The table explains each intended difference.
 */
export async function run(args: string[]): Promise<void> {
  const { only } = parseArgs({ args, options: { only: { type: 'string' } } }).values
  await using folder = await temporaryFolder('differential')
  const { 'docker-registry': executable = '' } = await bringTools(['docker-registry'])
  await using peer = await startPeer({ 'docker-registry': executable }, 'docker-registry')
  await using server = await startServer()
  const registries = { cay: server.address, peer: `127.0.0.1:${peer.port}`, folder: folder.path }
  const report = new CaseReport()
  for (const [part, prepare] of Object.entries(parts)) {
    if (only !== undefined && only !== part) continue
    const cases = await report.prepare(part, () => prepare(registries))
    for (const [name, runCase] of Object.entries(cases ?? {})) await report.try(part, name, runCase)
  }
  report.end(server)
}
