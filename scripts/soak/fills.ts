import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from '../lib/registry.ts'
import type { Server } from '../lib/server.ts'
import { checkDataFolder } from './data-folder.ts'
import type { Random } from './random.ts'
import { SampleUpstream } from './sample-upstream.ts'
import { isDigestOf, type Sample, type Samples } from './samples.ts'
import { type State, type Trial, type TrialContext, workThrough } from './trial.ts'

/** How long a server lives: long enough for some fills to end, and too short for others. */
const roundMillisecondsMax = 1500
const [blobBytesMin, blobBytesMax] = [2 * 1024 * 1024, 7 * 1024 * 1024]
/** Blobs that are being pulled at a time. */
const openMax = 3
/** The most that the upstream may send, as a multiple of the size of all blobs. */
const sentShareMax = 1.05
/** The upstream's pause after 64 KiB, so that a blob takes about a second. */
const pauseMs = 5
const repository = 'up.example/soak/fills'

/**
 * Clients pull blobs that are not cached, while the server is killed. A download must resume from the bytes that it has, no
 * client may get a complete wrong blob, and cached blobs must be served after a restart without the upstream.
 */
export function fillsTrial({ data, random, samples, repositories }: TrialContext): Trial {
  const upstream = new SampleUpstream(samples, pauseMs)
  const toml = `[[upstream]]\nname = "up.example"\nurl = "http://${upstream.address}"\n`
  writeFileSync(join(data, 'cay.toml'), toml)
  const blobs = new Blobs(upstream, samples, random)
  const seen = new Set<string>()
  return {
    env: {},
    roundMilliseconds: () => random.below(roundMillisecondsMax),
    work: ({ address }: Server, state: State) =>
      repositories.map((own) => {
        const client = { registry: new Registry(address), random: random.fork(), samples }
        return workThrough({ ...client, repository: own, shared: repository }, [[1, 'pull', pull]], state)
      }),
    async examine({ address }, isLast) {
      const registry = new Registry(address)
      const asked = upstream.requests
      const faults = await blobs.examine(registry, isLast)
      if (upstream.requests > asked) faults.push('the upstream was asked for what is cached')
      if (isLast) faults.push(...(await finish(registry)))
      return [...faults, ...(await checkDataFolder(data, seen))]
    },
    summary: () =>
      `${blobs.all.length} blobs of ${megabytes(blobs.bytes)} MB, ${upstream.resumed} downloads resumed, ` +
      `${megabytes(upstream.sentBytes)} MB from the upstream; nothing was wrong or missing`,
    close: () => upstream.stop(),
  }

  async function pull({ registry, random }: { registry: Registry; random: Random }): Promise<void> {
    await blobs.pull(registry, blobs.choose(random))
  }

  /** Lets every download end, and compares what the upstream has sent. */
  async function finish(registry: Registry): Promise<string[]> {
    while (blobs.open.length > 0) await blobs.pull(registry, blobs.open[0]!)
    const share = upstream.sentBytes / blobs.bytes
    return share <= sentShareMax ? [] : [`the upstream sent ${share.toFixed(3)} times the size of all blobs`]
  }
}

/** The blobs of the upstream, and how far the clients are. */
class Blobs {
  readonly all: Sample[] = []
  /** Blobs that may not be cached yet. */
  readonly open: Sample[] = []
  private readonly cached: Sample[] = []
  /** How many of them were examined. */
  private examined = 0
  private readonly upstream: SampleUpstream
  private readonly samples: Samples
  private readonly random: Random

  constructor(upstream: SampleUpstream, samples: Samples, random: Random) {
    this.upstream = upstream
    this.samples = samples
    this.random = random.fork()
  }

  get bytes(): number {
    return this.all.reduce((sum, { size }) => sum + size, 0)
  }

  /** A blob that is not cached; a new one if there are few. */
  choose(random: Random): Sample {
    while (this.open.length < openMax) {
      const size = blobBytesMin + this.random.below(blobBytesMax - blobBytesMin)
      const sample = this.samples.make(this.random, size)
      this.upstream.add(sample)
      this.all.push(sample)
      this.open.push(sample)
    }
    return random.pick(this.open)!
  }

  /** Pulls a blob, and waits until it is cached. */
  async pull(registry: Registry, sample: Sample): Promise<void> {
    await registry.pullBlob(repository, sample.digest)
    while (await isBeingFilled(registry, sample.digest));
    const at = this.open.indexOf(sample)
    if (at < 0) return
    this.open.splice(at, 1)
    this.cached.push(sample)
  }

  /** Reads the cached blobs: all of them at the end, and before that only the new ones. */
  async examine(registry: Registry, isAll: boolean): Promise<string[]> {
    const faults: string[] = []
    for (const { digest } of this.cached.slice(isAll ? 0 : this.examined)) {
      const { status, bytes } = await registry.send('GET', `/v2/${repository}/blobs/${digest}`)
      if (status !== 200) faults.push(`${digest} was cached, and is answered with ${status}`)
      else if (!isDigestOf(digest, bytes)) faults.push(`${digest} is served with other bytes`)
    }
    this.examined = this.cached.length
    return faults
  }
}

async function isBeingFilled(registry: Registry, digest: string): Promise<boolean> {
  const { bytes } = await registry.expect([200], 'GET', '/api/v1/cache/downloads')
  return new TextDecoder().decode(bytes).includes(digest)
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1_000_000)
}
