/**
 * Clients push, mount, tag and delete while the server is killed. `SOAK_ROUNDS=50` kills it 50 times instead of 3, and
 * `SOAK_SEED` repeats a run.
 */
import { expect, test } from 'bun:test'
import { isDigestOf, sha256 } from '../../scripts/lib/image.ts'
import {
  imageManifest,
  locationOf,
  manifestMediaType,
  Registry,
  type Sent,
  sizeOf,
} from '../../scripts/lib/registry.ts'
import type { Server } from '../../scripts/lib/server.ts'
import { checkDataFolder } from './data-folder.ts'
import {
  type Change,
  type Client,
  change,
  compareWithLedger,
  type Deck,
  killAndCompare,
  Ledger,
  nameOf,
  possible,
  type Recording,
  soakMillisecondsMax,
  type Trial,
  type TrialContext,
  workThrough,
} from './kills.ts'
import type { Sample, Samples } from './samples.ts'

const MiB = 1024 * 1024
/** How long a server lives at most. It always receives at least the start of a push. */
const lifetimeMax = 2000
const tagCount = 6

test(
  'kills: no acknowledged push, mount, tag or deletion is lost, and no unacknowledged one is half visible',
  () => killAndCompare(pushes),
  soakMillisecondsMax,
)

function pushes({ data, random, samples, repositories, shared }: TrialContext): Trial {
  const ledger = new Ledger()
  const sent: Sending = { uploads: new Map(), manifests: new Map(), samples: new Map() }
  /** Blobs whose bytes were verified: over HTTP, and on disk. */
  const seen = { served: new Set<string>(), stored: new Set<string>() }
  const actorsOf = ({ address }: Server): Actor[] => {
    const registry = new Registry(address)
    return repositories.map((repository) => {
      return { registry, ledger, sent, samples, random: random.fork(), repository, repositories, shared }
    })
  }
  return {
    lifetime: () => random.below(lifetimeMax),
    work(server, state) {
      const same = samples.make(random, 8 + random.below(MiB))
      sent.samples.set(same.digest, same)
      const first = (actor: Actor) => pushSame(actor, same)
      return actorsOf(server).map((actor) => workThrough(actor, deck, state, first))
    },
    async examine(server, isLast) {
      const stored = await checkDataFolder(data, seen.stored)
      const served = await verify(actorsOf(server)[0]!, isLast ? new Set() : seen.served)
      if (isLast) expect(ledger.acknowledged).toBeGreaterThan(0)
      return [...stored, ...served, ...(isLast ? await checkDataFolder(data) : [])]
    },
    summary: () =>
      `${ledger.acknowledged} acknowledged changes, ${ledger.all().length} tags, manifests and blobs, ` +
      `${sent.uploads.size} open uploads`,
  }
}

/** An upload whose close or cancellation was not acknowledged. */
interface PendingUpload {
  repository: string
  location: string
  sample: Sample
  /** The bytes that a response acknowledged. */
  acknowledged: number
  /** Whether a request was sent to close or cancel it. */
  ending: 'close' | 'cancel' | undefined
}

/** What was sent, by Location and digest. */
interface Sending {
  uploads: Map<string, PendingUpload>
  manifests: Map<string, { bytes: Uint8Array; blobs: string[] }>
  samples: Map<string, Sample>
}

/** A client that records its requests. */
interface Actor extends Client, Recording {
  sent: Sending
  samples: Samples
  /** The repositories of all clients, and the one that all push to. */
  repositories: string[]
  shared: string
}

const deck: Deck<Actor> = [
  [4, (actor) => pushByPost(actor, makeSample(actor, MiB))],
  [4, (actor) => pushByPut(actor, makeSample(actor, 2 * MiB))],
  [9, async (actor) => await upload(actor, await start(actor, makeSample(actor, 5 * MiB)))],
  [3, goOn],
  [4, mount],
  [2, deleteBlob],
  [13, (actor) => pushManifest(actor, actor.repository)],
  [3, (actor) => pushManifest(actor, actor.shared)],
  [1, (actor) => deleteTag(actor, actor.repository)],
  [1, (actor) => deleteTag(actor, actor.shared)],
  [2, deleteManifest],
]

/** Creates the content of a blob, which is mostly small. */
function makeSample({ samples, random, sent }: Actor, bytesMax: number): Sample {
  const size = 8 + random.below(random.chance(0.5) ? 4096 : bytesMax)
  const sample = samples.make(random, size, random.chance(0.1) ? 'sha512' : 'sha256')
  sent.samples.set(sample.digest, sample)
  return sample
}

/** Pushes a blob that all clients push at the same time. */
async function pushSame(actor: Actor, sample: Sample): Promise<void> {
  for (const repository of [actor.shared, actor.repository])
    await (actor.random.chance(0.5) ? pushByPost : pushByPut)({ ...actor, repository }, sample)
}

async function pushByPost(actor: Actor, sample: Sample): Promise<void> {
  const path = `/v2/${actor.repository}/blobs/uploads/?digest=${sample.digest}`
  const body = actor.samples.bytes(sample)
  await change(actor, [blobChange(actor, sample.digest)], ['POST', path, { body }], { done: 201 })
}

async function pushByPut(actor: Actor, sample: Sample): Promise<void> {
  await close(actor, await start(actor, sample))
}

async function start(actor: Actor, sample: Sample): Promise<PendingUpload> {
  const algorithm = sample.digest.startsWith('sha512:') && actor.random.chance(0.5) ? 'sha512' : 'sha256'
  const path = `/v2/${actor.repository}/blobs/uploads/?digest-algorithm=${algorithm}`
  const location = locationOf(await actor.registry.expect([202], 'POST', path))
  const begun = { repository: actor.repository, location, sample, acknowledged: 0, ending: undefined }
  actor.sent.uploads.set(location, begun)
  return begun
}

/** Appends chunks to an upload, as streams or with Content-Range. Closes it, or leaves it to a later round. */
async function upload(actor: Actor, pending: PendingUpload): Promise<void> {
  const { random, registry, ledger } = actor
  const { size } = pending.sample
  const bytes = actor.samples.bytes(pending.sample)
  const chunk = 256 * 1024 + random.below(MiB)
  while (pending.acknowledged < size && !random.chance(0.2)) {
    const from = pending.acknowledged
    // An upload of one byte has the same Range as an empty one.
    const end = Math.min(size, from + (random.chance(0.3) ? 2 + random.below(chunk) : chunk))
    const part = bytes.subarray(from, end)
    const sent = random.chance(0.3)
      ? { body: new Blob([part.slice()]).stream() }
      : { body: part, headers: { 'content-range': `${from}-${end - 1}` } }
    pending.acknowledged = sizeOf(await registry.expect([202], 'PATCH', pending.location, sent))
    ledger.acknowledge([])
  }
  if (pending.acknowledged === size || random.chance(0.5)) await close(actor, pending)
}

/** Continues an upload of an earlier round, closes it or cancels it. */
async function goOn(actor: Actor): Promise<void> {
  const { sent, random, repository } = actor
  const pending = random.pick([...sent.uploads.values()].filter((one) => one.repository === repository))
  if (pending === undefined) return
  if (random.chance(0.7)) return await upload(actor, pending)
  pending.ending = 'cancel'
  await actor.registry.expect([204], 'DELETE', pending.location)
  sent.uploads.delete(pending.location)
}

/** Closes an upload with the bytes that it does not have yet. */
async function close(actor: Actor, pending: PendingUpload): Promise<void> {
  const { sample, location, acknowledged, repository } = pending
  const rest = actor.samples.bytes(sample).subarray(acknowledged)
  pending.ending = 'close'
  const request: [string, string, Sent] = [
    'PUT',
    `${location}?digest=${sample.digest}`,
    rest.length > 0 ? { body: rest } : {},
  ]
  await change(actor, [blobChange({ ...actor, repository }, sample.digest)], request, { done: 201 })
  actor.sent.uploads.delete(location)
}

function blobChange({ ledger, repository }: Actor, digest: string, value: string | null = digest): Change {
  return { register: ledger.register('blob', repository, digest), value }
}

/** Mounts a blob of any client, with or without its source. If the mount becomes an upload, cancels it. */
async function mount(actor: Actor): Promise<void> {
  const from = actor.random.pick(actor.repositories)!
  const digest = actor.random.pick(actor.ledger.all('blob', from))?.name
  if (digest === undefined) return
  const source = actor.random.chance(0.5) ? `&from=${from}` : ''
  const path = `/v2/${actor.repository}/blobs/uploads/?mount=${digest}${source}`
  const statuses = { done: 201, refused: [202] }
  const answer = await change(actor, [blobChange(actor, digest)], ['POST', path], statuses)
  if (answer.status === 202) await actor.registry.expect([204], 'DELETE', locationOf(answer))
}

/** Deletes a blob, which is refused while a manifest refers to it. */
async function deleteBlob(actor: Actor): Promise<void> {
  const digest = actor.random.pick(actor.ledger.certain('blob', actor.repository))
  if (digest === undefined) return
  const path = `/v2/${actor.repository}/blobs/${digest}`
  await change(actor, [blobChange(actor, digest, null)], ['DELETE', path], { done: 202, refused: [405] })
}

/** Pushes a new manifest or an earlier one: under a tag, or by its digest with several tags or none. */
async function pushManifest(actor: Actor, repository: string): Promise<void> {
  const { ledger, sent, random, shared } = actor
  const earlier = repository !== shared && random.chance(0.25) ? ledger.certain('manifest', repository) : []
  const digest = random.pick(earlier) ?? makeManifest(actor, repository)
  if (digest === undefined) return
  const isByTag = repository === shared || random.chance(0.7)
  const tags = new Set(Array.from({ length: isByTag ? 1 : random.below(4) }, () => someTag(actor)))
  const changes = [
    { register: ledger.register('manifest', repository, digest), value: digest },
    ...[...tags].map((tag) => ({ register: ledger.register('tag', repository, tag), value: digest })),
  ]
  const reference = isByTag ? [...tags][0] : `${digest}?${[...tags].map((tag) => `tag=${tag}`).join('&')}`
  const headers = { 'content-type': manifestMediaType }
  const { bytes: body } = sent.manifests.get(digest)!
  const path = `/v2/${repository}/manifests/${reference}`
  await change(actor, changes, ['PUT', path, { body, headers }], { done: 201 })
}

/** Returns a new manifest of blobs that the repository certainly has; undefined if it has none. */
function makeManifest({ ledger, sent, random, repository: own }: Actor, repository: string) {
  const blobs = [...ledger.certain('blob', repository)].sort(() => random.below(3) - 1).slice(0, 4)
  const [config, ...layers] = blobs.map((digest) => ({ digest, size: sent.samples.get(digest)!.size }))
  if (config === undefined) return undefined
  const bytes = imageManifest(config, layers, `${random.below(2 ** 32)} ${own}`)
  const digest = sha256(bytes)
  sent.manifests.set(digest, { bytes, blobs })
  return digest
}

async function deleteTag(actor: Actor, repository: string): Promise<void> {
  const tag = someTag(actor)
  const register = actor.ledger.register('tag', repository, tag)
  const path = `/v2/${repository}/manifests/${tag}`
  await change(actor, [{ register, value: null }], ['DELETE', path], { done: 202, refused: [404] })
}

/** Deletes a manifest and the tags that point to it. */
async function deleteManifest(actor: Actor): Promise<void> {
  const { ledger, repository } = actor
  const digest = actor.random.pick(ledger.certain('manifest', repository))
  if (digest === undefined) return
  const cascade = ledger.all('tag', repository).map((register) => ({ register, value: null, only: digest }))
  const changes = [{ register: ledger.register('manifest', repository, digest), value: null }, ...cascade]
  await change(actor, changes, ['DELETE', `/v2/${repository}/manifests/${digest}`], { done: 202 })
}

function someTag({ random }: Actor): string {
  return `tag-${random.below(tagCount)}`
}

/** Compares the registry's content with the ledger while no client works. Returns what differs. */
async function verify(actor: Actor, seen: Set<string>): Promise<string[]> {
  const { sent, shared, repositories } = actor
  const faults = await compareWithLedger(actor, shared, seen)
  for (const repository of [shared, ...repositories]) await checkTags(actor, repository, faults)
  checkManifests(actor, faults)
  for (const upload of [...sent.uploads.values()]) await checkUpload(actor, upload, faults)
  return faults
}

/** Each tag that is listed resolves, and was pushed. */
async function checkTags({ registry, ledger }: Actor, repository: string, faults: string[]) {
  const answer = await registry.expect([200, 404], 'GET', `/v2/${repository}/tags/list`)
  const { tags = [] } = answer.json<{ tags?: string[] }>()
  const expected = ledger.certain('tag', repository).sort()
  if (tags.join() !== expected.join()) faults.push(`${repository} lists ${tags}, but has ${expected}`)
  for (const tag of tags) {
    const { status } = await registry.send('GET', `/v2/${repository}/manifests/${tag}`)
    if (status !== 200) faults.push(`${repository}:${tag} is listed but ${status}`)
  }
}

/** Each manifest that is served has its blobs. */
function checkManifests({ ledger, sent }: Actor, faults: string[]): void {
  for (const register of ledger.all('manifest')) {
    if (possible(register).has(null)) continue
    for (const digest of sent.manifests.get(register.name)?.blobs ?? []) {
      const blob = ledger.register('blob', register.repository, digest)
      if (possible(blob).has(null)) faults.push(`${nameOf(register)} lacks ${digest}`)
    }
  }
}

/** An upload continues from the size in its status, which is at least the acknowledged one. Most are closed now. */
async function checkUpload(actor: Actor, upload: PendingUpload, faults: string[]): Promise<void> {
  const { registry, ledger, sent, random } = actor
  const { location, sample, acknowledged, ending, repository } = upload
  const answer = await registry.expect([204, 404], 'GET', location)
  // A kill between the link of the blob and the response leaves a closed upload, which has no bytes of its own.
  const isClosed = ending === 'close' && ledger.certain('blob', repository).includes(sample.digest)
  if (answer.status === 404) {
    sent.uploads.delete(location)
    if (!isClosed && ending !== 'cancel') faults.push(`the upload ${location} is gone`)
    return
  }
  const size = sizeOf(answer)
  const isEmptied = size === 0 && isClosed
  if ((size < acknowledged && ending !== 'cancel' && !isEmptied) || size > sample.size) {
    const said = `has ${size} of ${sample.size} bytes, ${acknowledged} were acknowledged (${ending ?? 'open'})`
    faults.push(`the upload ${location} ${said}`)
  }
  upload.acknowledged = size
  upload.ending = undefined
  if (random.chance(0.3)) return
  await close(actor, upload)
  const blob = await registry.get(`/v2/${repository}/blobs/${sample.digest}`)
  if (!isDigestOf(sample.digest, blob.bytes)) faults.push(`${location} became other bytes`)
}
