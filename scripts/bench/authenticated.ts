import { processUsage } from '../lib/process-usage.ts'
import { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import type { Bench, Case, Target } from './lib/case.ts'
import { inTurns, observe, type Row } from './lib/measurement.ts'
import { requestLoad } from './lib/request-load.ts'
import { imageOf, type Target as Peer, publishImage } from './push.ts'

const connections = 32
const smallBytes = 1024
const warmUpSeconds = 0.5
const repository = 'public/image'
const password = crypto.randomUUID()
const basic = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`

const target = (row: string): Target => ({ row, is: 'at least', limit: 0.85, relative: true })

/** The cost of authentication: pulls with a token of /token, with a password, and anonymous ones. */
export const authenticatedCases: Case[] = [
  {
    name: 'authenticated',
    title: () => `manifest GET by tag from a public repository, ${connections} connections`,
    unit: 'req/s',
    reference: 'anonymous',
    targets: [target('Bearer'), target('Basic')],
    run: measure,
  },
]

async function measure({ executables, random, rounds, scale }: Bench): Promise<Row[]> {
  await using server = await startServer({
    executable: executables.cay,
    access: 'accounts',
    env: { CAY_ADMIN_PASSWORD: password },
  })
  const origin = `http://${server.address}`
  const port = Number(new URL(origin).port)
  const peer: Peer = {
    name: 'cay',
    port,
    data: '',
    startMilliseconds: 0,
    usage: () => processUsage(server.pid),
  }
  // So that the image can be pushed as those of the other cases are.
  const grant = { subject: 'anonymous', pattern: 'public/**', role: 'admin' }
  await new Registry(`admin:${password}@${server.address}`).api('PUT', '/grants', grant)
  const [config, layer] = random.pieces(2, smallBytes)
  const { manifest: path } = await publishImage(peer, repository, imageOf(config!, layer!))
  const headers = { anonymous: undefined, Bearer: `Bearer ${await tokenOf(origin)}`, Basic: basic }
  const contestants = []
  for (const [name, authorization] of Object.entries(headers)) {
    const request = { port, method: 'GET' as const, path, connections, authorization }
    await requestLoad({ ...request, seconds: warmUpSeconds })
    const load = async () => {
      const { requestsPerSecond: value, p50, p99 } = await requestLoad({ ...request, seconds: scale.seconds })
      return { value, p50, p99 }
    }
    contestants.push({ name, measure: () => observe(peer, load) })
  }
  return await inTurns(contestants, rounds)
}

async function tokenOf(origin: string): Promise<string> {
  const response = await fetch(`${origin}/token?scope=repository:${repository}:pull`, {
    headers: { authorization: basic },
  })
  const { token } = (await response.json()) as { token: string }
  return token
}
