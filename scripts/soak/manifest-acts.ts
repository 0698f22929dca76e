import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { type Act, type Actor, type Change, change } from './actor.ts'
import type { Value } from './ledger.ts'

const tagCount = 6

/** The actions on manifests and tags, with their frequencies. */
export const manifestActs: [number, Act][] = [
  [6, (actor) => pushByTag(actor, actor.repository)],
  [4, pushByDigest],
  [3, moveTag],
  [3, (actor) => pushByTag(actor, actor.shared)],
  [1, (actor) => deleteTag(actor, actor.repository)],
  [1, (actor) => deleteTag(actor, actor.shared)],
  [2, deleteManifest],
]

async function pushByTag(actor: Actor, repository: string): Promise<void> {
  const digest = makeManifest(actor, repository)
  if (digest === undefined) return
  await put(actor, repository, digest, [someTag(actor)], true)
}

/** A push by digest, with several tags or none. */
async function pushByDigest(actor: Actor): Promise<void> {
  const digest = makeManifest(actor, actor.repository)
  if (digest === undefined) return
  const count = actor.random.below(4)
  const tags = new Set(Array.from({ length: count }, () => someTag(actor)))
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
function makeManifest({ ledger, random, shared, repository: own }: Actor, repository: string) {
  const blobs = [...ledger.certain('blob', repository)].sort(() => random.below(3) - 1).slice(0, 4)
  const [config, ...layers] = blobs.map((digest) => ({ digest, size: ledger.samples.get(digest)?.size ?? 0 }))
  if (config === undefined) return undefined
  const note = `${random.below(2 ** 32)} ${repository === shared ? own : ''}`
  const bytes = imageManifest(config, layers, note)
  const digest = sha256(bytes)
  ledger.manifests.set(digest, { bytes, blobs: [config, ...layers] })
  return digest
}

/** Pushes a manifest. A single tag is in the path, several are parameters. */
async function put(actor: Actor, repository: string, digest: string, tags: string[], byTag: boolean) {
  const { ledger } = actor
  const body = ledger.manifests.get(digest)?.bytes ?? new Uint8Array()
  const points = (kind: 'tag' | 'manifest', name: string): Change => ({
    register: ledger.register(kind, repository, name),
    value: digest as Value,
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
