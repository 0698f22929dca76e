import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDigestOf, sha256 } from '../lib/image.ts'
import { imageManifest, Registry } from '../lib/registry.ts'
import type { Server } from '../lib/server.ts'
import { checkDataFolder } from './data-folder.ts'
import type { Random } from './random.ts'
import { SampleUpstream } from './sample-upstream.ts'
import type { Sample, Samples } from './samples.ts'
import { type State, type Trial, type TrialContext, workThrough } from './trial.ts'

/** How long a server lives. What is in flight at a kill is sent twice, so kills that are too frequent exceed the share. */
const roundMillisecondsMax = 2500
const [layerBytesMin, layerBytesMax] = [2 * 1024 * 1024, 7 * 1024 * 1024]
const configBytes = 500
/** Images that are being pulled at a time. */
const openMax = 3
/** The most that the upstream may send, as a multiple of the size of all blobs. */
const sentShareMax = 1.05
/** The upstream's pause after 64 KiB, so that a layer takes about a second. */
const pauseMs = 5
const repository = 'up.example/soak/fills'

/**
 * Clients pull images that are not cached, by tag and by digest, while the server is killed. A download must resume from the
 * bytes that it has, and no client may get a complete wrong blob. After each kill, the server starts without the upstream,
 * and must serve all that was pulled before.
 */
export function fillsTrial({ data, random, samples, repositories }: TrialContext): Trial {
  const upstream = new SampleUpstream(samples, pauseMs)
  // Tags stay fresh, so that no check is due while the upstream is stopped.
  const toml = `[[upstream]]\nname = "up.example"\nurl = "http://${upstream.address}"\n[cache]\nfresh-seconds = 86400\n`
  writeFileSync(join(data, 'cay.toml'), toml)
  const images = new Images(upstream, samples, random)
  const seen = new Set<string>()
  return {
    env: {},
    roundMilliseconds: () => random.below(roundMillisecondsMax),
    work: ({ address }: Server, state: State) =>
      repositories.map((own) => {
        const client = { registry: new Registry(address), random: random.fork(), samples }
        return workThrough({ ...client, repository: own, shared: repository }, [[1, 'pull', pull]], state)
      }),
    beforeExamination: () => upstream.stop(),
    async examine({ address }, isLast) {
      const registry = new Registry(address)
      const faults = await images.examine(registry, isLast)
      upstream.restart()
      if (isLast) faults.push(...(await finish(registry)))
      return [...faults, ...(await checkDataFolder(data, seen))]
    },
    summary: () =>
      `${images.all.length} images of ${megabytes(images.bytes)} MB, ${upstream.resumed} downloads resumed, ` +
      `${megabytes(upstream.sentBytes)} MB from the upstream, ${images.served} images served without it; ` +
      'nothing was wrong or missing',
    close: () => upstream.stop(),
  }

  async function pull({ registry, random }: { registry: Registry; random: Random }): Promise<void> {
    await images.pull(registry, images.choose(random), random.chance(0.5))
  }

  /** Lets every download end, and compares what the upstream has sent. */
  async function finish(registry: Registry): Promise<string[]> {
    while (images.open.length > 0) await images.pull(registry, images.open[0]!, true)
    const share = upstream.sentBytes / images.bytes
    return share <= sentShareMax ? [] : [`the upstream sent ${share.toFixed(3)} times the size of all blobs`]
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
  /** Images that may not be cached yet. */
  readonly open: Image[] = []
  /** How many images were read while the upstream was stopped. */
  served = 0
  private readonly cached: Image[] = []
  /** Those of them that were pulled by tag. */
  private readonly tagged = new Set<Image>()
  /** How many of the cached ones were examined. */
  private examined = 0
  private readonly upstream: SampleUpstream
  private readonly samples: Samples
  private readonly random: Random

  constructor(upstream: SampleUpstream, samples: Samples, random: Random) {
    this.upstream = upstream
    this.samples = samples
    this.random = random.fork()
  }

  /** The size of all blobs. */
  get bytes(): number {
    return this.all.flatMap(({ blobs }) => blobs).reduce((sum, { size }) => sum + size, 0)
  }

  /** An image that is not cached; a new one if there are few. */
  choose(random: Random): Image {
    while (this.open.length < openMax) {
      const image = this.make()
      this.all.push(image)
      this.open.push(image)
    }
    return random.pick(this.open)!
  }

  /** Pulls an image by tag or by digest, and waits until it is cached. */
  async pull(registry: Registry, image: Image, isByTag: boolean): Promise<void> {
    await pullManifest(registry, isByTag ? image.tag : image.digest, image)
    if (isByTag) this.tagged.add(image)
    for (const { digest } of image.blobs) {
      await registry.pullBlob(repository, digest)
      while (await isBeingFilled(registry, digest));
    }
    const at = this.open.indexOf(image)
    if (at < 0) return
    this.open.splice(at, 1)
    this.cached.push(image)
  }

  /** Reads the cached images: all of them at the end, and before that only the new ones. */
  async examine(registry: Registry, isAll: boolean): Promise<string[]> {
    const faults: string[] = []
    for (const image of this.cached.slice(isAll ? 0 : this.examined)) {
      const names = [...(this.tagged.has(image) ? [image.tag] : []), image.digest]
      const paths = names.map((name) => [`manifests/${name}`, image.digest] as const)
      for (const [path, digest] of [
        ...paths,
        ...image.blobs.map(({ digest }) => [`blobs/${digest}`, digest] as const),
      ]) {
        const { status, bytes } = await registry.send('GET', `/v2/${repository}/${path}`)
        if (status !== 200) faults.push(`${path} was cached, and is answered with ${status}`)
        else if (!isDigestOf(digest, bytes)) faults.push(`${path} is served with other bytes`)
      }
      this.served++
    }
    this.examined = this.cached.length
    return faults
  }

  private make(): Image {
    const add = (size: number) => {
      const sample = this.samples.make(this.random, size)
      this.upstream.add(sample)
      return sample
    }
    const config = add(configBytes)
    const layer = add(layerBytesMin + this.random.below(layerBytesMax - layerBytesMin))
    const tag = `v${this.all.length}`
    const manifest = imageManifest(config, [layer], tag)
    this.upstream.addManifest(tag, manifest)
    return { tag, digest: sha256(manifest), blobs: [config, layer] }
  }
}

async function pullManifest(registry: Registry, reference: string, { digest }: Image): Promise<void> {
  const { bytes } = await registry.get(`/v2/${repository}/manifests/${reference}`)
  if (sha256(bytes) !== digest) throw new Error(`${reference} is served with other bytes than ${digest}`)
}

async function isBeingFilled(registry: Registry, digest: string): Promise<boolean> {
  return (await registry.get('/api/v1/cache/downloads')).text.includes(digest)
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000)
}
