import { median, percentile } from '../../lib/percentiles.ts'
import { absolute, type Bench, type Case } from '../lib/case.ts'
import type { Row } from '../lib/measurement.ts'
import { withColdCache } from './cold.ts'
import { type Content, makeContent, repository } from './content.ts'
import { bringLoad } from './load.ts'

const pulls = 50
const blobBytes = 1024 * 1024
const extra = 'cay, more than direct'

/** Measures how much later the first byte of a blob comes if it is not cached. */
export const cacheFirstByteCases: Case[] = [
  {
    name: 'cache-first-byte',
    title: () => `first byte of a blob of 1 MiB that is not cached, median of ${pulls}`,
    unit: 'ms',
    reference: 'direct',
    targets: [absolute(extra, 'at most', 10)],
    run: measure,
  },
]

async function measure(bench: Bench): Promise<Row[]> {
  const load = await bringLoad()
  await using contents = new AsyncDisposableStack()
  await using content = await makeContent(blobBytes)
  await using upstream = await load.serve(content.folder, 0)
  const direct: number[] = []
  const cold: number[] = []
  await withColdCache(bench, upstream, async ({ url }) => {
    for (let i = 0; i < pulls; i++) {
      const each = contents.use(await makeContent(blobBytes, content.folder))
      direct.push(await firstByte(`http://${upstream.address}/v2/${repository}/${each.paths.layer}`, each))
      cold.push(await firstByte(url(each.paths.layer), each))
    }
  })
  return [
    { name: 'direct', value: median(direct), p99: percentile(direct, 0.99) },
    { name: 'cay', value: median(cold), p99: percentile(cold, 0.99) },
    { name: extra, value: median(cold) - median(direct) },
  ]
}

/** Milliseconds from a request on a new connection to the first byte of the body. */
async function firstByte(url: string, { size }: Content): Promise<number> {
  const began = performance.now()
  const response = await fetch(url, { keepalive: false })
  let received = 0
  let first = 0
  for await (const chunk of response.body ?? []) {
    if (received === 0) first = performance.now() - began
    received += chunk.length
  }
  if (received !== size) throw new Error(`GET ${url}: ${response.status}, ${received} bytes`)
  return first
}
