/**
 * Clients push, pull, delete and restore while the collector works with a grace period of one second and the server is
 * killed. `SOAK_ROUNDS=50` kills it 50 times instead of 3, and `SOAK_SEED` repeats a run.
 */
import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { isDigestOf, sha256 } from '../../scripts/lib/image.ts'
import { type Answer, imageManifest, manifestMediaType, Registry } from '../../scripts/lib/registry.ts'
import { checkDataFolder } from './data-folder.ts'
import {
  type Client,
  change,
  compareWithLedger,
  type Deck,
  killAndCompare,
  Ledger,
  possible,
  type Recording,
  soakMillisecondsMax,
  type Trial,
  type TrialContext,
  workThrough,
} from './kills.ts'
import type { Random, Sample, Samples } from './samples.ts'

const imageCount = 24
const tagCount = 8
const roundMilliseconds = 5000
/** The server's grace period and window, in milliseconds. */
const [grace, window] = [1000, 3000]
/** The share of the grace period in which a client must finish its push after it found a blob. */
const pushShare = 0.4
const restoreShare = 0.6
/** The longest time until garbage is collected, after the last push. */
const endSecondsMax = 60

test(
  'collector: while it is killed, tagged content stays whole, nothing dangles, and only tagged content is left at the end',
  () => killAndCompare(collections),
  soakMillisecondsMax,
)

function collections({ data, random, samples, repositories, shared }: TrialContext): Trial {
  const images = makeImages(samples, random)
  const [ledger, faults]: [Ledger, string[]] = [new Ledger(), []]
  const clients: Keeper[] = repositories.map((repository) => {
    const registry = new Registry('')
    return {
      registry,
      random: random.fork(),
      samples,
      ledger,
      images,
      repository,
      shared,
      lost: [],
      faults,
    }
  })
  const meet = (address: string) => {
    const registry = new Registry(address)
    for (const client of clients) client.registry = registry
    return registry
  }
  const pullAll = async () => {
    for (const client of clients) for (const [tag, image] of tagsOf(client)) await pull(client, tag, image)
  }
  return {
    env: {
      CAY_GC_GRACE_SECONDS: String(grace / 1000),
      CAY_GC_WINDOW_SECONDS: String(window / 1000),
      CAY_GC_INTERVAL_SECONDS: '1',
    },
    lifetime: () => roundMilliseconds,
    work({ address }, state) {
      meet(address)
      return clients.map((client) => workThrough(client, deck, state))
    },
    async examine({ address }, isLast) {
      const registry = meet(address)
      faults.push(...(await compareWithLedger({ registry, ledger }, shared, new Set())))
      for (const client of clients) client.lost = []
      await pullAll()
      faults.push(...dangling(data), ...(await checkDataFolder(data)))
      if (!isLast || faults.length > 0) return faults
      expect(ledger.acknowledged).toBeGreaterThan(0)
      faults.push(...(await settle(registry, data, clients)))
      await pullAll()
      return [...faults, ...dangling(data)]
    },
    summary: () => `${ledger.acknowledged} acknowledged changes`,
  }
}

/** An image that can be pushed again and again: always the same bytes. */
interface Image {
  digest: string
  manifest: Uint8Array
  blobs: Sample[]
}

/** A client whose ledger says which image each tag of its repository has. */
interface Keeper extends Client, Recording {
  samples: Samples
  images: Image[]
  shared: string
  /** Tags that were deleted or moved, with their previous image and the time. */
  lost: { tag: string; image: Image; at: number }[]
  faults: string[]
}

const deck: Deck<Keeper> = [
  [8, (client) => push(client, client.repository)],
  [3, (client) => push(client, client.shared)],
  [3, deleteTag],
  [2, deleteManifest],
  [4, restore],
  [4, pullOne],
  [1, deleteRepository],
  [
    1,
    ({ registry }) => registry.expect([200, 201, 202, 409], 'POST', '/api/v1/jobs', { json: { kind: 'gc' } }),
  ],
]

/** Returns the tags of a client's repository and their images. Between its requests, each has only one. */
function tagsOf({ ledger, repository, images }: Keeper): [tag: string, image: Image][] {
  return ledger.all('tag', repository).flatMap((register): [string, Image][] => {
    const [digest] = possible(register)
    const image = images.find((one) => one.digest === digest)
    return image === undefined ? [] : [[register.name, image]]
  })
}

/** Notes that tags lose an image. */
function lose(client: Keeper, tags: [tag: string, image: Image][]): void {
  client.lost.push(...tags.map(([tag, image]) => ({ tag, image, at: performance.now() })))
}

/** Pushes an image as clients do: asks for each blob with HEAD, and sends only the missing ones. */
async function push(client: Keeper, repository: string): Promise<void> {
  const { registry, random, ledger } = client
  const image = random.pick(client.images)!
  const tag = `tag-${random.below(tagCount)}`
  const began = performance.now()
  for (const blob of image.blobs) {
    const path = `/v2/${repository}/blobs/${blob.digest}`
    if ((await registry.expect([200, 404], 'HEAD', path)).status === 404)
      await bring(client, repository, blob)
  }
  const isOwn = repository === client.repository
  const before = tagsOf(client).filter(([name, other]) => isOwn && name === tag && other !== image)
  const changes = isOwn ? [{ register: ledger.register('tag', repository, tag), value: image.digest }] : []
  const sent = { headers: { 'content-type': manifestMediaType }, body: image.manifest }
  const path = `/v2/${repository}/manifests/${tag}`
  const answer = await change(client, changes, ['PUT', path, sent], { done: 201, refused: [400] })
  if (answer.status === 201) lose(client, before)
  else if (performance.now() - began < grace * pushShare)
    client.faults.push(`${repository}:${tag} was refused, though its blobs were there: ${said(answer)}`)
}

/** Pushes a blob, or mounts it from a repository of another client. */
async function bring({ registry, random, samples, shared }: Keeper, repository: string, blob: Sample) {
  if (random.chance(0.3)) {
    const path = `/v2/${repository}/blobs/uploads/?mount=${blob.digest}&from=${shared}`
    if ((await registry.expect([201, 202], 'POST', path)).status === 201) return
  }
  await registry.pushBlob(repository, blob.digest, samples.bytes(blob))
}

async function deleteTag(client: Keeper): Promise<void> {
  const found = client.random.pick(tagsOf(client))
  if (found === undefined) return
  const { repository } = client
  const register = client.ledger.register('tag', repository, found[0])
  const path = `/v2/${repository}/manifests/${found[0]}`
  await change(client, [{ register, value: null }], ['DELETE', path], { done: 202 })
  lose(client, [found])
}

async function deleteManifest(client: Keeper): Promise<void> {
  const { ledger, repository } = client
  const image = client.random.pick(tagsOf(client))?.[1]
  if (image === undefined) return
  const tags = tagsOf(client).filter((tag) => tag[1] === image)
  const changes = tags.map(([tag]) => ({ register: ledger.register('tag', repository, tag), value: null }))
  const path = `/v2/${repository}/manifests/${image.digest}`
  await change(client, changes, ['DELETE', path], { done: 202 })
  lose(client, tags)
}

/** Restores a lost tag, and pulls its image. Within the window, the image must be complete. */
async function restore(client: Keeper): Promise<void> {
  const { ledger, repository } = client
  client.lost = client.lost.filter(({ at }) => performance.now() - at < window * 2).slice(-50)
  const loss = client.random.pick(client.lost)
  if (loss === undefined) return
  const { tag, image } = loss
  const before = tagsOf(client).filter(([name, other]) => name === tag && other !== image)
  const path = `${resourceOf(client)}/tags/${tag}/restore`
  const changes = [{ register: ledger.register('tag', repository, tag), value: image.digest }]
  const statuses = { done: 200, refused: [400, 404, 409, 410, 422] }
  const answer = await change(client, changes, ['POST', path, { json: { digest: image.digest } }], statuses)
  if (answer.status === 200) {
    lose(client, before)
    await pull(client, tag, image)
  } else if (performance.now() - loss.at < window * restoreShare)
    client.faults.push(`${path} within the window: ${said(answer)}`)
}

async function pullOne(client: Keeper): Promise<void> {
  const found = client.random.pick(tagsOf(client))
  if (found !== undefined) await pull(client, ...found)
}

/** Pulls an image with all its bytes; missing or different bytes are a fault. */
async function pull({ registry, repository, faults }: Keeper, tag: string, image: Image): Promise<void> {
  const content = [`manifests/${tag}`, ...image.blobs.map(({ digest }) => `blobs/${digest}`)]
  const digests = [image.digest, ...image.blobs.map(({ digest }) => digest)]
  for (const [at, path] of content.entries()) {
    const answer = await registry.send('GET', `/v2/${repository}/${path}`)
    if (answer.status !== 200 || !isDigestOf(digests[at]!, answer.bytes))
      faults.push(`${repository}:${tag}, ${path}, ${digests[at]}: ${answer.status}`)
  }
}

/** Deletes the whole repository, and usually restores it. */
async function deleteRepository(client: Keeper): Promise<void> {
  const { registry, ledger, repository } = client
  const tags = tagsOf(client)
  if (tags.length === 0) return
  const registers = tags.map(([tag, { digest }]) => ({
    register: ledger.register('tag', repository, tag),
    value: digest,
  }))
  const gone = registers.map(({ register }) => ({ register, value: null }))
  await change(client, gone, ['DELETE', resourceOf(client)], { done: 204 })
  if (client.random.chance(0.7)) {
    await change(client, registers, ['POST', `${resourceOf(client)}/restore`, { json: {} }], { done: 200 })
    await pull(client, ...tags[0]!)
    return
  }
  client.lost = []
  await registry.expect([404], 'GET', `/v2/${repository}/tags/list`)
}

function resourceOf({ repository }: Keeper): string {
  return `/api/v1/repositories/${encodeURIComponent(repository)}`
}

function said({ status, text }: Answer): string {
  return `${status} ${text.slice(0, 300)}`
}

/** Makes images that share a few blobs, so that all clients push, delete and collect the same blobs. */
function makeImages(samples: Samples, random: Random): Image[] {
  // Small blobs live in the database, and larger ones in files.
  const sizeMax = () => (random.chance(0.5) ? 32 : 200) * 1024
  const blobs = Array.from({ length: imageCount }, () => samples.make(random, 8 + random.below(sizeMax())))
  return blobs.map((_, i) => {
    const named = [0, 1, 2].map((k) => blobs[(i + k * (1 + (i % 5))) % imageCount]!)
    const manifest = imageManifest(named[0]!, named.slice(1), `image ${i}`)
    return { digest: sha256(manifest), manifest, blobs: named }
  })
}

/** Returns live manifests with blobs that their repository does not have. */
function dangling(data: string): string[] {
  using database = new Database(join(data, 'cay.db'), { readonly: true })
  const rows = database
    .query<{ name: string; manifest: string; digest: string }, []>(
      `select repository.name, hex(manifest.digest) as manifest, hex(reference.digest) as digest
       from manifest join repository on repository.id = manifest.repository_id
       join manifest_reference reference on reference.manifest_id = manifest.id
       where manifest.deleted_at is null and repository.deleted_at is null and reference.role in ('config', 'layer')
       and not exists (select 1 from blob join repository_blob link on link.blob_id = blob.id
         where blob.digest = reference.digest and link.repository_id = manifest.repository_id and link.deleted_at is null)`,
    )
    .all()
  return rows.map(({ name, manifest, digest }) => `${name}: manifest ${manifest} lacks ${digest}`)
}

/** When nothing changes any more, all garbage is collected, also what the kills left behind, and nothing else. */
async function settle(registry: Registry, data: string, clients: Keeper[]): Promise<string[]> {
  const images = clients.flatMap((client) => tagsOf(client).map(([, image]) => image))
  const kept = new Set(images.flatMap(({ blobs }) => blobs.map(({ digest }) => digest)))
  const shared = encodeURIComponent(clients[0]!.shared)
  await registry.expect([200, 202, 204, 404], 'DELETE', `/api/v1/repositories/${shared}`)
  const until = performance.now() + endSecondsMax * 1000
  let faults = differences(data, kept)
  while (performance.now() < until && faults.length > 0) {
    await registry.send('POST', '/api/v1/jobs', { json: { kind: 'gc' } })
    await Bun.sleep(250)
    faults = differences(data, kept)
  }
  return faults
}

/** Compares the stored blobs, in the database and in files, with those that must be kept. */
function differences(data: string, kept: Set<string>): string[] {
  using database = new Database(join(data, 'cay.db'), { readonly: true })
  const rows = database
    .query<{ digest: string; isSmall: number }, []>(
      `select 'sha256:' || lower(hex(digest)) as digest, blob_bytes.blob_id is not null as isSmall
       from blob left join blob_bytes on blob_id = id`,
    )
    .all()
  const names = new Set(rows.map(({ digest }) => digest))
  const large = new Set(rows.filter(({ isSmall }) => !isSmall).map(({ digest }) => digest))
  const paths = [...new Bun.Glob('*/*/*').scanSync(join(data, 'blobs'))]
  const files = new Set(paths.map((path) => path.replace(/^(\w+)\/\w+\//, '$1:')))
  const say = (what: string, digests: Set<string>) => [...digests].map((digest) => `${what}: ${digest}`)
  return [
    ...say('garbage is left', names.difference(kept)),
    ...say('a blob is gone', kept.difference(names)),
    ...say('a file is left', files.difference(large)),
  ]
}
