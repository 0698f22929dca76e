import { locationOf, sizeOf } from '../lib/registry.ts'
import { type Act, type Actor, change, makeSample } from './actor.ts'
import type { PendingUpload } from './ledger.ts'
import type { Sample } from './samples.ts'

const MiB = 1024 * 1024
/** An upload of one byte has the same Range as an empty one. */
const firstBytesMin = 2

/** The actions on blobs, with their frequencies. */
export const blobActs: [number, Act][] = [
  [4, (actor) => pushByPost(actor, makeSample(actor, MiB))],
  [4, (actor) => pushByPut(actor, makeSample(actor, 2 * MiB))],
  [3, pushInChunks],
  [3, pushAsStream],
  [3, leaveUpload],
  [2, goOnWithUpload],
  [1, cancelUpload],
  [4, mount],
  [2, deleteBlob],
]

/** Pushes a blob that all clients push at the same time. */
export async function pushSame(actor: Actor, sample: Sample): Promise<void> {
  for (const repository of [actor.shared, actor.repository]) {
    if (actor.random.chance(0.5)) await pushByPost({ ...actor, repository }, sample)
    else await pushByPut({ ...actor, repository }, sample)
  }
}

async function pushByPost(actor: Actor, sample: Sample): Promise<void> {
  const path = `/v2/${actor.repository}/blobs/uploads/?digest=${sample.digest}`
  const body = actor.samples.bytes(sample)
  await change(actor, [arrival(actor, sample)], ['POST', path, { body }], { done: 201 })
}

async function pushByPut(actor: Actor, sample: Sample): Promise<void> {
  const upload = await start(actor, sample)
  await close(actor, upload, 0)
}

/** Sends chunks with Content-Range. The last one is the body of the PUT, or comes before it. */
async function pushInChunks(actor: Actor): Promise<void> {
  const upload = await start(actor, makeSample(actor, 5 * MiB))
  const lastByPut = actor.random.chance(0.5)
  const { size } = upload.sample
  const chunk = 256 * 1024 + actor.random.below(MiB)
  let at = 0
  for (; at + (lastByPut ? chunk : 0) < size; at += chunk) {
    await append(actor, upload, at, Math.min(size, at + chunk))
  }
  await close(actor, upload, Math.min(at, size))
}

async function pushAsStream(actor: Actor): Promise<void> {
  const upload = await start(actor, makeSample(actor, 5 * MiB))
  const body = pieces(actor.samples.bytes(upload.sample), 16 * 1024 + actor.random.below(128 * 1024))
  await note(actor, upload, await actor.registry.expect([202], 'PATCH', upload.location, { body }))
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
  actor.ledger.uploads.delete(upload.location)
}

/** Mounts a blob of any client, with or without its source. If the mount becomes an upload, cancels it. */
async function mount(actor: Actor): Promise<void> {
  const from = actor.random.pick(actor.repositories) ?? actor.repository
  const digest = actor.random.pick(actor.ledger.all('blob', from))?.name
  if (digest === undefined) return
  const source = actor.random.chance(0.5) ? `&from=${from}` : ''
  const path = `/v2/${actor.repository}/blobs/uploads/?mount=${digest}${source}`
  const register = actor.ledger.register('blob', actor.repository, digest)
  const answer = await change(actor, [{ register, value: digest }], ['POST', path], {
    done: 201,
    refused: [202],
  })
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
  actor.ledger.uploads.set(location, upload)
  return upload
}

async function append(actor: Actor, upload: PendingUpload, start: number, end: number): Promise<void> {
  const body = actor.samples.bytes(upload.sample).subarray(start, end)
  const headers = { 'content-range': `${start}-${end - 1}` }
  await note(actor, upload, await actor.registry.expect([202], 'PATCH', upload.location, { body, headers }))
}

async function note({ ledger }: Actor, upload: PendingUpload, answer: Parameters<typeof sizeOf>[0]) {
  upload.acknowledged = sizeOf(answer)
  ledger.acknowledge([])
}

/** Closes an upload with the bytes from `from` on. */
export async function close(actor: Actor, upload: PendingUpload, from: number): Promise<void> {
  const { sample, location } = upload
  const body = from < sample.size ? { body: actor.samples.bytes(sample).subarray(from) } : {}
  upload.ending = 'close'
  const request: [string, string, typeof body] = ['PUT', `${location}?digest=${sample.digest}`, body]
  await change(actor, [arrival({ ...actor, repository: upload.repository }, sample)], request, { done: 201 })
  actor.ledger.uploads.delete(location)
}

function arrival({ ledger, repository }: Actor, { digest }: Sample) {
  return { register: ledger.register('blob', repository, digest), value: digest }
}

function pending({ ledger, repository, random }: Actor): PendingUpload | undefined {
  return random.pick([...ledger.uploads.values()].filter((upload) => upload.repository === repository))
}

/** A body that is sent in pieces, one after the other. */
function pieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close()
      controller.enqueue(bytes.subarray(at, at + size))
      at += size
    },
  })
}
