import { heapStats } from 'bun:jsc'
import { expect, test } from 'bun:test'
import { Origins, pathOf } from '../../src/http/origin.ts'
import { parsePath } from '../../src/registry/dispatch.ts'

const COUNT = 1000
const LONG = 'y'.repeat(15_000)

/** Returns the bytes of each text that `make` returns, with what it keeps in memory. */
function bytesOfEach(make: (at: number) => string): number {
  const bytes = () => {
    Bun.gc(true)
    return heapStats().heapSize + heapStats().extraMemorySize
  }
  make(COUNT)
  const before = bytes()
  const kept = new Set<string>()
  for (let at = 0; at < COUNT; at++) kept.add(make(at))
  return (bytes() - before) / kept.size
}

test('memory: remembering a repository does not keep the URL of a request', () => {
  const repository = (at: number) => {
    const { url } = new Request(
      `http://localhost:5000/v2/team/an-application-of-ours-${at}/manifests/latest?x=${LONG}`,
    )
    const path = parsePath(pathOf(url))
    return path?.kind === 'manifest' ? path.name : ''
  }
  expect(repository(7)).toBe('team/an-application-of-ours-7')
  expect(bytesOfEach(repository)).toBeLessThan(1000)
})

test('memory: remembering an address does not keep the header in which a proxy reports it', () => {
  const origins = new Origins({ externalUrl: undefined, trustedProxies: ['127.0.0.1'], isTls: false })
  const address = (at: number) => {
    const headers = { 'x-forwarded-for': `${LONG},192.168.${100 + (at >> 8)}.${at & 255}` }
    return origins.clientOf(new Request('http://localhost:5000/', { headers }), '127.0.0.1')
  }
  expect(address(7)).toBe('192.168.100.7')
  expect(bytesOfEach(address)).toBeLessThan(1000)
})
