import { isDigestOf, sha256 } from '../lib/image.ts'
import { type Answer, imageManifest } from '../lib/registry.ts'
import type { Random } from './random.ts'
import type { Sample, Samples } from './samples.ts'
import type { Client, Deck } from './trial.ts'

/** An image that can be pushed again and again: always the same bytes. */
export interface SoakImage {
  digest: string
  manifest: Uint8Array
  blobs: Sample[]
}

/** A client that knows which image each tag of its repository must have. */
export interface SoakClient extends Client {
  images: SoakImage[]
  times: Times
  /** The image of each tag, as acknowledged. */
  tags: Map<string, SoakImage>
  /** Tags that were deleted or moved, with their previous image and the time. */
  lost: { tag: string; image: SoakImage; at: number }[]
  faults: string[]
}

/** The grace period and the window of the server, in milliseconds. */
export interface Times {
  grace: number
  window: number
}

const tagCount = 8
/** The share of the grace period in which a client must finish its push after it found a blob. */
const pushShare = 0.4
const restoreShare = 0.6

export const collectorActs: Deck<SoakClient> = [
  [8, 'pushes', (client) => push(client, client.repository)],
  [3, 'pushes to all', (client) => push(client, client.shared)],
  [3, 'deleted tags', deleteTag],
  [2, 'deleted manifests', deleteManifest],
  [4, 'restores', restore],
  [4, 'pulls', pullOne],
  [1, 'deleted repositories', deleteRepository],
  [1, 'collections', collect],
]

/** Pushes an image as clients do: asks for each blob with HEAD, and sends only the missing ones. */
async function push(client: SoakClient, repository: string): Promise<void> {
  const { registry, random } = client
  const image = random.pick(client.images)
  if (image === undefined) return
  const tag = someTag(client)
  const began = performance.now()
  for (const blob of image.blobs) {
    const path = `/v2/${repository}/blobs/${blob.digest}`
    if ((await registry.expect([200, 404], 'HEAD', path)).status === 404)
      await bring(client, repository, blob)
  }
  const before = client.tags.get(tag)
  const answer = await registry.putManifest(repository, tag, image.manifest)
  if (answer.status === 201) {
    if (repository !== client.repository) return
    if (before !== undefined && before !== image)
      client.lost.push({ tag, image: before, at: performance.now() })
    client.tags.set(tag, image)
  } else if (answer.status !== 400 || performance.now() - began < client.times.grace * pushShare) {
    client.faults.push(
      `${repository}:${tag} was refused, though its blobs were there before: ${text(answer)}`,
    )
  }
}

/** Pushes a blob, or mounts it from a repository of another client. */
async function bring({ registry, random, samples, shared }: SoakClient, repository: string, blob: Sample) {
  if (random.chance(0.3)) {
    const path = `/v2/${repository}/blobs/uploads/?mount=${blob.digest}&from=${shared}`
    if ((await registry.expect([201, 202], 'POST', path)).status === 201) return
  }
  await registry.pushBlob(repository, blob.digest, samples.bytes(blob))
}

async function deleteTag(client: SoakClient): Promise<void> {
  const { registry, random, repository, tags } = client
  const tag = random.pick([...tags.keys()])
  const image = tag === undefined ? undefined : tags.get(tag)
  if (tag === undefined || image === undefined) return
  await registry.expect([202], 'DELETE', `/v2/${repository}/manifests/${tag}`)
  tags.delete(tag)
  client.lost.push({ tag, image, at: performance.now() })
}

async function deleteManifest(client: SoakClient): Promise<void> {
  const { registry, random, repository, tags } = client
  const image = random.pick([...tags.values()])
  if (image === undefined) return
  await registry.expect([202], 'DELETE', `/v2/${repository}/manifests/${image.digest}`)
  for (const [tag, pointed] of [...tags]) {
    if (pointed !== image) continue
    tags.delete(tag)
    client.lost.push({ tag, image, at: performance.now() })
  }
}

/** Restores a lost tag, and pulls its image. Within the window, the image must be complete. */
async function restore(client: SoakClient): Promise<void> {
  const { registry, repository, tags, times } = client
  client.lost = client.lost.filter(({ at }) => performance.now() - at < times.window * 2).slice(-50)
  const loss = client.random.pick(client.lost)
  if (loss === undefined) return
  const path = `/api/v1/repositories/${encodeURIComponent(repository)}/tags/${loss.tag}/restore`
  const answer = await registry.send('POST', path, { json: { digest: loss.image.digest } })
  if (answer.status === 200) {
    const before = tags.get(loss.tag)
    if (before !== undefined && before !== loss.image) {
      client.lost.push({ tag: loss.tag, image: before, at: performance.now() })
    }
    tags.set(loss.tag, loss.image)
    await pull(client, repository, loss.tag, loss.image)
  } else if (answer.status >= 500 || performance.now() - loss.at < times.window * restoreShare) {
    client.faults.push(`${path} within the window: ${text(answer)}`)
  }
}

async function pullOne(client: SoakClient): Promise<void> {
  const tag = client.random.pick([...client.tags.keys()])
  const image = tag === undefined ? undefined : client.tags.get(tag)
  if (tag !== undefined && image !== undefined) await pull(client, client.repository, tag, image)
}

/** Pulls an image with all its bytes; missing or different bytes are a fault. */
export async function pull(
  { registry, faults }: Pick<SoakClient, 'registry' | 'faults'>,
  repository: string,
  tag: string,
  image: SoakImage,
): Promise<void> {
  const wrong = (what: string, { status }: Answer) => faults.push(`${repository}:${tag}, ${what}: ${status}`)
  const found = await registry.send('GET', `/v2/${repository}/manifests/${tag}`)
  if (found.status !== 200 || !isDigestOf(image.digest, found.bytes)) wrong(`manifest ${image.digest}`, found)
  for (const { digest } of image.blobs) {
    const blob = await registry.send('GET', `/v2/${repository}/blobs/${digest}`)
    if (blob.status !== 200 || !isDigestOf(digest, blob.bytes)) wrong(`blob ${digest}`, blob)
  }
}

/** Deletes the whole repository, and usually restores it. */
async function deleteRepository(client: SoakClient): Promise<void> {
  const { registry, repository, tags } = client
  if (tags.size === 0) return
  const path = `/api/v1/repositories/${encodeURIComponent(repository)}`
  await expectOk(client, 'DELETE', path)
  if (client.random.chance(0.7)) {
    await expectOk(client, 'POST', `${path}/restore`, {})
    const [tag, image] = [...tags][0] ?? []
    if (tag !== undefined && image !== undefined) await pull(client, repository, tag, image)
    return
  }
  tags.clear()
  client.lost = []
  await registry.expect([404], 'GET', `/v2/${repository}/tags/list`)
}

async function collect({ registry, faults }: SoakClient): Promise<void> {
  const answer = await registry.send('POST', '/api/v1/jobs', { json: { kind: 'gc' } })
  if (answer.status >= 300 && answer.status !== 409) faults.push(`a collection: ${text(answer)}`)
}

async function expectOk({ registry, faults }: SoakClient, method: string, path: string, json?: object) {
  const answer = await registry.send(method, path, { json })
  if (answer.status >= 300) faults.push(`${method} ${path}: ${text(answer)}`)
}

/** Small blobs live in the database, and larger ones in files. */
const sizes = (random: Random) => (random.chance(0.5) ? 32 : 200) * 1024

/** Images that share a few blobs, so that all clients push, delete and collect the same blobs. */
export function makeImages(samples: Samples, random: Random, count: number): SoakImage[] {
  const blobs = Array.from({ length: count }, () => samples.make(random, 8 + random.below(sizes(random))))
  return Array.from({ length: count }, (_, i) => {
    const [config, ...layers] = [0, 1, 2].map((k) => blobs[(i + k * (1 + (i % 5))) % count])
    const named = [config, ...layers].filter((blob) => blob !== undefined)
    const manifest = imageManifest(named[0] ?? { digest: '', size: 0 }, named.slice(1), `image ${i}`)
    return { digest: sha256(manifest), manifest, blobs: named }
  })
}

function someTag({ random }: SoakClient): string {
  return `tag-${random.below(tagCount)}`
}

function text({ status, text }: Answer): string {
  return `${status} ${text.slice(0, 300)}`
}
