import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { startCache, type TestCache } from '../support/cache.ts'
import { digestOf, EMPTY, imageManifest, type Named } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { type Answer, head, type Step } from '../support/upstream.ts'

const TAGS = ['1', '2', '3', '4']

/** How the next download fails: at some byte, or with wrong bytes. */
const FAULTS = ['fin', 'reset', 'wrong', 'late', 'down'] as const

type Act =
  | { do: 'pull'; tag: string; clients: number }
  | { do: 'fault'; fault: (typeof FAULTS)[number]; at: number }
  | { do: 'push'; tag: string }
  | { do: 'evict'; tag: string }
  | { do: 'pass'; seconds: number }
  | { do: 'move'; tag: string }
  | { do: 'restart' }

const tag = fc.constantFrom(...TAGS)
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pull' as const), tag, clients: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('fault' as const),
      fault: fc.constantFrom(...FAULTS),
      at: fc.integer({ min: 0, max: 149_999 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('push' as const), tag }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('evict' as const), tag }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 2000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('move' as const), tag }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
)

/** The upstream's images, what was pushed here, and a clock. */
class World {
  readonly cache: TestCache
  readonly pass: (seconds: number) => void
  readonly images = new Map<string, { layers: Named[] }>()
  readonly pushed = new Map<string, { manifest: Named; layers: Named[] }>()
  /** Bodies that were complete but wrong. */
  readonly wrong: string[] = []

  constructor(cache: TestCache, pass: (seconds: number) => void) {
    this.cache = cache
    this.pass = pass
    for (const one of TAGS) this.move(one)
  }

  async act(what: Act): Promise<void> {
    const { cache } = this
    if (what.do === 'pull') await Promise.all(Array.from({ length: what.clients }, () => this.pull(what.tag)))
    else if (what.do === 'fault') cache.fake.on(/^GET .*blobs/, this.faulty(what.fault, what.at), 1)
    else if (what.do === 'push') await this.push(what.tag)
    else if (what.do === 'evict') await cache.get(`manifests/${what.tag}`, { method: 'DELETE' })
    else if (what.do === 'pass') this.pass(what.seconds)
    else if (what.do === 'move') this.move(what.tag)
    else await cache.restart()
  }

  private move(name: string): void {
    this.images.set(name, this.cache.fake.putImage('library/app', name, [150_000, 90_000]))
  }

  /** A local image that shares its layers with what is cached. */
  private async push(name: string): Promise<void> {
    const layers = this.images.get(name)?.layers ?? []
    const manifest = imageManifest(EMPTY, layers)
    await pushImage(this.cache.server, 'mine', manifest, layers, { reference: name })
    this.pushed.set(name, { manifest, layers })
  }

  private async pull(name: string): Promise<void> {
    const bytes = await this.read(`manifests/${name}`)
    if (bytes === undefined) return
    const { config, layers } = JSON.parse(new TextDecoder().decode(bytes))
    for (const { digest } of [config, ...layers]) {
      const body = await this.read(`blobs/${digest}`)
      if (body !== undefined && digestOf(body) !== digest) this.wrong.push(digest)
    }
  }

  /** A complete body; undefined for a refusal, or a connection that was cut. */
  private async read(suffix: string): Promise<Uint8Array | undefined> {
    try {
      const response = await this.cache.get(suffix)
      const bytes = await response.bytes()
      return response.status === 200 ? bytes : undefined
    } catch {
      return undefined
    }
  }

  private faulty(fault: (typeof FAULTS)[number], at: number): Answer {
    return (request): Step[] => {
      const found = this.cache.fake.content.get(request.path)
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
      if (fault === 'down' || found === undefined) return ['reset']
      const { length } = found.bytes
      const status = from > 0 ? 206 : 200
      const range = { 'content-range': `bytes ${from}-${length - 1}/${length}` }
      const start = head(status, { 'content-length': String(length - from), ...(from > 0 && range) })
      const cut = Math.max(from, Math.min(at, length - 1))
      if (fault === 'fin' || fault === 'reset') return [start, found.bytes.subarray(from, cut), fault]
      if (fault === 'late')
        return [start, found.bytes.subarray(from, cut), Bun.sleep(0), found.bytes.subarray(cut)]
      const bytes = Uint8Array.from(found.bytes)
      bytes[cut] = (bytes[cut] ?? 0) ^ 1
      return [start, bytes.subarray(from)]
    }
  }

  async check(): Promise<void> {
    expect(this.wrong).toEqual([])
    const { server } = this.cache
    for (const [name, { manifest, layers }] of this.pushed) {
      const response = await server.fetch(`/v2/mine/manifests/${name}`)
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
      for (const layer of layers) {
        const bytes = await (await server.fetch(`/v2/mine/blobs/${layer.digest}`)).bytes()
        expect(digestOf(bytes)).toBe(layer.digest)
      }
    }
    await server.stop()
    await checkFolder(server.data)
  }
}

/** Checks that each row has its bytes, and that the sum of evictable bytes is correct. */
async function checkFolder(data: string): Promise<void> {
  using db = new Database(join(data, 'cay.db'), { readonly: true })
  const rows = db
    .query(
      'select hex(digest) as hex, size from blob b where not exists (select 1 from blob_bytes k where k.blob_id = b.id)',
    )
    .all() as { hex: string; size: number }[]
  for (const { hex, size } of rows) {
    const name = hex.toLowerCase()
    const bytes = await Bun.file(join(data, 'blobs', 'sha256', name.slice(0, 2), name)).bytes()
    expect([bytes.length, digestOf(bytes)]).toEqual([size, `sha256:${name}`])
  }
  const sum = db.query(
    `select (select value from total where name = 'cache.bytes') as kept, coalesce(sum(b.size), 0) as counted from blob b
     where exists (select 1 from repository_blob l where l.blob_id = b.id)
     and not exists (select 1 from repository_blob l where l.blob_id = b.id and l.is_cached = 0)`,
  )
  const manifests = db.query(
    `select (select value from total where name = 'cache.manifest_bytes') as kept, coalesce(sum(size), 0) as counted
     from manifest where used_at is not null`,
  )
  for (const found of [sum, manifests]) {
    const { kept, counted } = found.get() as { kept: number; counted: number }
    expect(kept).toBe(counted)
  }
}

test('cache: after any acts of clients and the upstream, and any restarts, no body is wrong, each row has its bytes, and pushed content is kept', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 4, maxLength: 14 }), async (acts) => {
      let now = Date.UTC(2026, 0, 1)
      const options = {
        cache: 'bytes-max = 500_000',
        settings: { 'shutdown.seconds-max': '1' },
        now: () => now,
      }
      await using cache = await startCache(options)
      const world = new World(cache, (seconds) => {
        now += seconds * 1000
      })
      for (const one of acts) {
        now += 5000
        await world.act(one)
      }
      await world.check()
    }),
    { numRuns: Number(process.env.CAY_MODEL_RUNS ?? 8), endOnFailure: true },
  )
}, 120_000)
