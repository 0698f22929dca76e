/**
 * Clients push, mount, tag and delete while the server is killed. `SOAK_ROUNDS=50` kills it 50 times instead of 3, and
 * `SOAK_SEED` repeats a run.
 */
import { expect, test } from 'bun:test'
import { isDigestOf, sha256 } from '../../scripts/lib/image.ts'
import {
  type Answer,
  type Described,
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
  type Register,
  soakMillisecondsMax,
  type Trial,
  type TrialContext,
  workThrough,
} from './kills.ts'
import type { Sample, Samples } from './samples.ts'

const MiB = 1024 * 1024
/** How long a server lives at most. It always receives at least the start of a push. */
const lifetimeMax = 900
const tagCount = 6
/** An upload of one byte has the same Range as an empty one. */
const firstBytesMin = 2

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
  manifests: Map<string, { bytes: Uint8Array; blobs: Described[] }>
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
  [3, pushInChunks],
  [3, pushAsStream],
  [3, leaveUpload],
  [2, goOnWithUpload],
  [1, cancelUpload],
  [4, mount],
  [2, deleteBlob],
  [6, (actor) => pushByTag(actor, actor.repository)],
  [4, pushByDigest],
  [3, moveTag],
  [3, (actor) => pushByTag(actor, actor.shared)],
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
  for (const repository of [actor.shared, actor.repository]) {
    await (actor.random.chance(0.5) ? pushByPost : pushByPut)({ ...actor, repository }, sample)
  }
}

async function pushByPost(actor: Actor, sample: Sample): Promise<void> {
  const path = `/v2/${actor.repository}/blobs/uploads/?digest=${sample.digest}`
  const body = actor.samples.bytes(sample)
  await change(actor, [arrival(actor, sample)], ['POST', path, { body }], { done: 201 })
}

async function pushByPut(actor: Actor, sample: Sample): Promise<void> {
  await close(actor, await start(actor, sample), 0)
}

/** Sends chunks with Content-Range. The last one is the body of the PUT, or comes before it. */
async function pushInChunks(actor: Actor): Promise<void> {
  const upload = await start(actor, makeSample(actor, 5 * MiB))
  const lastByPut = actor.random.chance(0.5)
  const { size } = upload.sample
  const chunk = 256 * 1024 + actor.random.below(MiB)
  let at = 0
  for (; at + (lastByPut ? chunk : 0) < size; at += chunk)
    await append(actor, upload, at, Math.min(size, at + chunk))
  await close(actor, upload, Math.min(at, size))
}

async function pushAsStream(actor: Actor): Promise<void> {
  const upload = await start(actor, makeSample(actor, 5 * MiB))
  const [bytes, piece] = [actor.samples.bytes(upload.sample), 16 * 1024 + actor.random.below(128 * 1024)]
  let at = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close()
      controller.enqueue(bytes.subarray(at, at + piece))
      at += piece
    },
  })
  note(actor, upload, await actor.registry.expect([202], 'PATCH', upload.location, { body }))
  await close(actor, upload, upload.sample.size)
}

/** Starts an upload that a later round continues. */
async function leaveUpload(actor: Actor): Promise<void> {
  const upload = await start(actor, makeSample(actor, 4 * MiB))
  if (actor.random.chance(0.2)) return
  await append(actor, upload, 0, firstBytesMin + actor.random.below(upload.sample.size - firstBytesMin))
}

async function goOnWithUpload(actor: Actor): Promise<void> {
  const upload = pending(actor)
  if (upload === undefined) return
  const { sample, acknowledged } = upload
  if (acknowledged < sample.size && actor.random.chance(0.5)) {
    const end = Math.max(firstBytesMin, acknowledged + 1 + actor.random.below(sample.size - acknowledged))
    await append(actor, upload, acknowledged, end)
  } else await close(actor, upload, acknowledged)
}

async function cancelUpload(actor: Actor): Promise<void> {
  const upload = pending(actor)
  if (upload === undefined) return
  upload.ending = 'cancel'
  await actor.registry.expect([204], 'DELETE', upload.location)
  actor.sent.uploads.delete(upload.location)
}

/** Mounts a blob of any client, with or without its source. If the mount becomes an upload, cancels it. */
async function mount(actor: Actor): Promise<void> {
  const from = actor.random.pick(actor.repositories) ?? actor.repository
  const digest = actor.random.pick(actor.ledger.all('blob', from))?.name
  if (digest === undefined) return
  const source = actor.random.chance(0.5) ? `&from=${from}` : ''
  const path = `/v2/${actor.repository}/blobs/uploads/?mount=${digest}${source}`
  const register = actor.ledger.register('blob', actor.repository, digest)
  const statuses = { done: 201, refused: [202] }
  const answer = await change(actor, [{ register, value: digest }], ['POST', path], statuses)
  if (answer.status === 202) await actor.registry.expect([204], 'DELETE', locationOf(answer))
}

/** Deletes a blob, which is refused while a manifest refers to it. */
async function deleteBlob(actor: Actor): Promise<void> {
  const digest = actor.random.pick(actor.ledger.certain('blob', actor.repository))
  if (digest === undefined) return
  const register = actor.ledger.register('blob', actor.repository, digest)
  const path = `/v2/${actor.repository}/blobs/${digest}`
  await change(actor, [{ register, value: null }], ['DELETE', path], { done: 202, refused: [405] })
}

async function start(actor: Actor, sample: Sample): Promise<PendingUpload> {
  const algorithm = sample.digest.startsWith('sha512:') && actor.random.chance(0.5) ? 'sha512' : 'sha256'
  const path = `/v2/${actor.repository}/blobs/uploads/?digest-algorithm=${algorithm}`
  const location = locationOf(await actor.registry.expect([202], 'POST', path))
  const upload = { repository: actor.repository, location, sample, acknowledged: 0, ending: undefined }
  actor.sent.uploads.set(location, upload)
  return upload
}

async function append(actor: Actor, upload: PendingUpload, from: number, end: number): Promise<void> {
  const body = actor.samples.bytes(upload.sample).subarray(from, end)
  const headers = { 'content-range': `${from}-${end - 1}` }
  note(actor, upload, await actor.registry.expect([202], 'PATCH', upload.location, { body, headers }))
}

function note({ ledger }: Actor, upload: PendingUpload, answer: Answer): void {
  upload.acknowledged = sizeOf(answer)
  ledger.acknowledge([])
}

/** Closes an upload with the bytes from `from` on. */
async function close(actor: Actor, upload: PendingUpload, from: number): Promise<void> {
  const { sample, location } = upload
  const body = from < sample.size ? { body: actor.samples.bytes(sample).subarray(from) } : {}
  upload.ending = 'close'
  const request: [string, string, Sent] = ['PUT', `${location}?digest=${sample.digest}`, body]
  await change(actor, [arrival({ ...actor, repository: upload.repository }, sample)], request, { done: 201 })
  actor.sent.uploads.delete(location)
}

function arrival({ ledger, repository }: Actor, { digest }: Sample): Change {
  return { register: ledger.register('blob', repository, digest), value: digest }
}

function pending({ sent, repository, random }: Actor): PendingUpload | undefined {
  return random.pick([...sent.uploads.values()].filter((upload) => upload.repository === repository))
}

async function pushByTag(actor: Actor, repository: string): Promise<void> {
  const digest = makeManifest(actor, repository)
  if (digest !== undefined) await put(actor, repository, digest, [someTag(actor)], true)
}

/** Pushes by digest, with several tags or none. */
async function pushByDigest(actor: Actor): Promise<void> {
  const digest = makeManifest(actor, actor.repository)
  if (digest === undefined) return
  const tags = new Set(Array.from({ length: actor.random.below(4) }, () => someTag(actor)))
  await put(actor, actor.repository, digest, [...tags], false)
}

/** Points a tag to an existing manifest. */
async function moveTag(actor: Actor): Promise<void> {
  const digest = actor.random.pick(actor.ledger.certain('manifest', actor.repository))
  if (digest !== undefined) await put(actor, actor.repository, digest, [someTag(actor)], true)
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

/** Returns a new manifest of blobs that the repository certainly has; undefined if it has none. */
function makeManifest({ ledger, sent, random, shared, repository: own }: Actor, repository: string) {
  const blobs = [...ledger.certain('blob', repository)].sort(() => random.below(3) - 1).slice(0, 4)
  const [config, ...layers] = blobs.map((digest) => ({ digest, size: sent.samples.get(digest)?.size ?? 0 }))
  if (config === undefined) return undefined
  const note = `${random.below(2 ** 32)} ${repository === shared ? own : ''}`
  const bytes = imageManifest(config, layers, note)
  const digest = sha256(bytes)
  sent.manifests.set(digest, { bytes, blobs: [config, ...layers] })
  return digest
}

/** Pushes a manifest. A single tag is in the path, several are parameters. */
async function put(actor: Actor, repository: string, digest: string, tags: string[], byTag: boolean) {
  const { ledger, sent } = actor
  const body = sent.manifests.get(digest)?.bytes ?? new Uint8Array()
  const points = (kind: Register['kind'], name: string): Change => ({
    register: ledger.register(kind, repository, name),
    value: digest,
  })
  const changes = [points('manifest', digest), ...tags.map((tag) => points('tag', tag))]
  const query = byTag || tags.length === 0 ? '' : `?${tags.map((tag) => `tag=${tag}`).join('&')}`
  const path = `/v2/${repository}/manifests/${byTag ? tags[0] : digest}${query}`
  const headers = { 'content-type': manifestMediaType }
  await change(actor, changes, ['PUT', path, { body, headers }], { done: 201 })
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
    for (const { digest } of sent.manifests.get(register.name)?.blobs ?? []) {
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
  await close({ ...actor, repository }, upload, size)
  const blob = await registry.get(`/v2/${repository}/blobs/${sample.digest}`)
  if (!isDigestOf(sample.digest, blob.bytes)) faults.push(`${location} became other bytes`)
}
