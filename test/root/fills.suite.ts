/**
 * Clients pull images through the cache while the server is killed. `SOAK_ROUNDS=50` kills it 50 times instead of 3, and
 * `SOAK_SEED` repeats a run.
 */
import { test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDigestOf, sha256 } from '../../scripts/lib/image.ts'
import { imageManifest, Registry } from '../../scripts/lib/registry.ts'
import { checkDataFolder } from './data-folder.ts'
import { killAndCompare, soakMillisecondsMax, type Trial, type TrialContext, workThrough } from './kills.ts'
import { type Random, type Sample, SampleUpstream } from './samples.ts'

/** How long a server lives. What is in flight at a kill is sent twice, so kills that are too frequent exceed the share. */
const [lifetimeMin, lifetimeMax] = [500, 3000]
const [layerBytesMin, layerBytesMax] = [2 * 1024 * 1024, 7 * 1024 * 1024]
const configBytes = 500
/** Images that are being pulled at a time. */
const openMax = 3
/**
 * The most that the upstream may send, as a multiple of the size of all blobs. What was in flight at a kill is sent again,
 * which weighs more in a run of a few rounds.
 */
const sentShareMax = Number(process.env.SOAK_ROUNDS ?? 3) < 20 ? 1.15 : 1.05
/** The upstream's pause after 64 KiB, so that a layer takes about a second. */
const pauseMs = 5
const repository = 'up.example/soak/fills'

test(
  'cache: while it is killed, downloads resume, no client gets a wrong blob, and what was pulled is served without the upstream',
  () => killAndCompare(fills),
  soakMillisecondsMax,
)

/** After each kill, the server starts without the upstream, and must serve all that was pulled before. */
function fills({ data, random, samples, repositories }: TrialContext): Trial {
  const upstream = new SampleUpstream(samples, pauseMs)
  // Tags stay fresh, so that no check is due while the upstream is stopped.
  writeFileSync(join(data, 'cay.toml'), upstream.settings('fresh-seconds = 86400'))
  const images = new Images(upstream, random.fork())
  const seen = new Set<string>()
  return {
    lifetime: () => lifetimeMin + random.below(lifetimeMax - lifetimeMin),
    work: ({ address }, state) =>
      repositories.map(() => {
        const client = { registry: new Registry(address), random: random.fork(), repository }
        return workThrough(client, [[1, (one) => images.pullAny(one.registry, one.random)]], state)
      }),
    beforeExamination: () => upstream.stop(),
    async examine({ address }, isLast) {
      const registry = new Registry(address)
      const faults = await images.examine(registry, isLast)
      upstream.restart()
      if (isLast) {
        await images.finish(registry)
        const share = upstream.sentBytes / images.bytes
        if (share > sentShareMax)
          faults.push(`the upstream sent ${share.toFixed(3)} times the size of all blobs`)
      }
      return [...faults, ...(await checkDataFolder(data, seen))]
    },
    summary: () =>
      `${images.all.length} images of ${Math.round(images.bytes / 1e6)} MB, ${upstream.resumed} downloads resumed, ` +
      `${Math.round(upstream.sentBytes / 1e6)} MB sent, ${images.served} images served without the upstream`,
    close: () => upstream.stop(),
  }
}

/** An image of the upstream. */
interface Image {
  tag: string
  digest: string
  blobs: Sample[]
}

/** The images of the upstream, and how far the clients are. */
class Images {
  readonly all: Image[] = []
  /** How many images were read while the upstream was stopped. */
  served = 0
  /** Images that may not be cached yet. */
  private readonly open: Image[] = []
  private readonly cached: Image[] = []
  /** Those of them that were pulled by tag. */
  private readonly tagged = new Set<Image>()
  /** How many of the cached ones were examined. */
  private examined = 0
  private readonly upstream: SampleUpstream
  private readonly random: Random

  constructor(upstream: SampleUpstream, random: Random) {
    this.upstream = upstream
    this.random = random
  }

  /** The size of all blobs. */
  get bytes(): number {
    return this.all.flatMap(({ blobs }) => blobs).reduce((sum, { size }) => sum + size, 0)
  }

  /** Pulls an image that is not cached, a new one if there are few, by tag or by digest. */
  async pullAny(registry: Registry, random: Random): Promise<void> {
    while (this.open.length < openMax) this.make()
    await this.pull(registry, random.pick(this.open)!, random.chance(0.5))
  }

  /** Lets every download end. */
  async finish(registry: Registry): Promise<void> {
    for (const image of [...this.open]) await this.pull(registry, image, true)
  }

  /** Reads the cached images: all of them at the end, and before that only the new ones. Returns what is missing or wrong. */
  async examine(registry: Registry, isAll: boolean): Promise<string[]> {
    const faults: string[] = []
    for (const image of this.cached.slice(isAll ? 0 : this.examined)) {
      const names = [...(this.tagged.has(image) ? [image.tag] : []), image.digest]
      const paths = [
        ...names.map((name) => [`manifests/${name}`, image.digest] as const),
        ...image.blobs.map(({ digest }) => [`blobs/${digest}`, digest] as const),
      ]
      for (const [path, digest] of paths) {
        const { status, bytes } = await registry.send('GET', `/v2/${repository}/${path}`)
        if (status !== 200) faults.push(`${path} was cached, and is answered with ${status}`)
        else if (!isDigestOf(digest, bytes)) faults.push(`${path} is served with other bytes`)
      }
      this.served++
    }
    this.examined = this.cached.length
    return faults
  }

  /** Pulls an image, and waits until it is cached. */
  private async pull(registry: Registry, image: Image, isByTag: boolean): Promise<void> {
    const reference = isByTag ? image.tag : image.digest
    const { bytes } = await registry.get(`/v2/${repository}/manifests/${reference}`)
    if (sha256(bytes) !== image.digest) throw new Error(`${reference} is served with other bytes`)
    if (isByTag) this.tagged.add(image)
    for (const { digest } of image.blobs) {
      await registry.pullBlob(repository, digest)
      while ((await registry.get('/api/v1/cache/downloads')).text.includes(digest));
    }
    const at = this.open.indexOf(image)
    if (at >= 0) this.cached.push(...this.open.splice(at, 1))
  }

  private make(): void {
    const config = this.upstream.make(this.random, configBytes)
    const size = layerBytesMin + this.random.below(layerBytesMax - layerBytesMin)
    const layer = this.upstream.make(this.random, size)
    const tag = `v${this.all.length}`
    const manifest = imageManifest(config, [layer], tag)
    this.upstream.addManifest(tag, manifest)
    const image = { tag, digest: sha256(manifest), blobs: [config, layer] }
    this.all.push(image)
    this.open.push(image)
  }
}
