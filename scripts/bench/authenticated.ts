import { processUsage } from '../lib/process-usage.ts'
import { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { type Bench, type Case, relative } from './lib/case.ts'
import { inTurns, type Row } from './lib/measurement.ts'
import { loadContestant } from './lib/request-load.ts'
import { imageOf, publishImage } from './push.ts'

const connections = 32
const smallBytes = 1024
const repository = 'public/image'
const password = crypto.randomUUID()

/** The cost of authentication: pulls with a token of /token, with a password, and anonymous ones. */
export const authenticatedCases: Case[] = [
  {
    name: 'authenticated',
    title: () => `manifest GET by tag from a public repository, ${connections} connections`,
    unit: 'req/s',
    reference: 'anonymous',
    targets: [relative('at least', 0.85, 'Bearer'), relative('at least', 0.85, 'Basic')],
    run: measure,
  },
]

async function measure({ executables, random, rounds, scale }: Bench): Promise<Row[]> {
  await using server = await startServer({
    executable: executables.cay,
    access: 'accounts',
    env: { CAY_ADMIN_PASSWORD: password },
  })
  const { port } = server
  const peer = { name: 'cay' as const, port, data: '', usage: () => processUsage(server.pid) }
  const admin = new Registry(`admin:${password}@${server.address}`)
  // So that the image can be pushed as those of the other cases are.
  const grant = { subject: 'anonymous', pattern: 'public/**', role: 'admin' }
  await admin.api('PUT', '/grants', grant)
  const [config, layer] = random.pieces(2, smallBytes)
  const { manifest: path } = await publishImage(peer, repository, imageOf(config!, layer!))
  const answer = await admin.get(`/token?scope=repository:${repository}:pull`)
  const bearer = `Bearer ${answer.json<{ token: string }>().token}`
  const headers = { anonymous: undefined, Bearer: bearer, Basic: `Basic ${btoa(`admin:${password}`)}` }
  const contestants = []
  for (const [name, authorization] of Object.entries(headers)) {
    const request = { port, method: 'GET' as const, path, connections, authorization }
    contestants.push(await loadContestant(name, peer, request, scale.seconds))
  }
  return await inTurns(contestants, rounds)
}
