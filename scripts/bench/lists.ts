import { startPeer } from '../lib/peers.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { absolute, type Bench, type Case } from './lib/case.ts'
import { fillMetadata } from './lib/filled-metadata.ts'
import { inTurns, observe, type Row } from './lib/measurement.ts'
import { requestLoad } from './lib/request-load.ts'

const connections = 2
const millisecondsMax = 20
const repository = encodeURIComponent('team-42/app-4242')

/** Lists and searches of a full registry, by what they list. */
const paths = {
  'GET /v2/_catalog': '/v2/_catalog?n=100&last=team-50/app-5000',
  'tags/list': '/v2/team-42/app-4242/tags/list?n=100',
  repositories: '/api/v1/repositories?limit=100',
  'search for repositories': '/api/v1/repositories?q=app-42&limit=100',
  'search by two letters': '/api/v1/repositories?q=42&limit=100',
  repository: `/api/v1/repositories/${repository}`,
  tags: `/api/v1/repositories/${repository}/tags?limit=100`,
  'tags by time': `/api/v1/repositories/${repository}/tags?sort=updated&order=desc&limit=100`,
  'search for tags': `/api/v1/repositories/${repository}/tags?q=9&limit=100`,
  manifests: `/api/v1/repositories/${repository}/manifests?limit=100`,
  'history of a repository': `/api/v1/repositories/${repository}/history?limit=100`,
  'storage by repository': '/api/v1/storage/repositories',
  storage: '/api/v1/storage',
  events: '/api/v1/events?limit=100',
  candidates: '/api/v1/gc/candidates?limit=100',
} as const

/** Measures lists of a full registry. */
export const listCases: Case[] = [
  {
    name: 'lists',
    title: ({ repositories }) =>
      `p99 of lists and searches over ${repositories.toLocaleString('en')} repositories of 100 tags`,
    unit: 'ms',
    reference: 'tags/list',
    targets: Object.keys(paths).map((name) => absolute(name, 'at most', millisecondsMax)),
    run: measure,
  },
]

async function measure({ executables, rounds, scale }: Bench): Promise<Row[]> {
  await using folder = await temporaryFolder('bench-lists')
  await fillMetadata(executables, folder.path, scale.repositories)
  await using peer = await startPeer(executables, 'cay', { data: folder.path })
  const contestants = Object.entries(paths).map(([name, path]) => ({
    name,
    measure: () =>
      observe(peer, async () => {
        const load = { port: peer.port, method: 'GET' as const, path, connections, seconds: scale.seconds }
        const { p50, p99, requestsPerSecond } = await requestLoad(load)
        return { value: p99, p50, note: `${Math.round(requestsPerSecond)} a second` }
      }),
  }))
  return await inTurns(contestants, Math.min(rounds, 3))
}
