import { isDigestOf } from '../lib/image.ts'
import { type Registry, sizeOf } from '../lib/registry.ts'
import type { Actor } from './actor.ts'
import { close } from './blob-acts.ts'
import { type Ledger, type PendingUpload, possible, type Register, type Value } from './ledger.ts'

const requestsAtOnce = 16

/** The faults that were found after a crash, and how much was examined. */
export interface Findings {
  faults: string[]
  /** Uploads that were continued and closed. */
  finished: number
  /** Registers that were compared. */
  compared: number
}

/** Compares the registry's content with the ledger while no client works, and updates the ledger. */
export async function verify(actor: Actor, seen: Set<string>): Promise<Findings> {
  const { registry, ledger } = actor
  const findings: Findings = { faults: [], finished: 0, compared: 0 }
  const registers = ledger.all()
  const shown = new Map<Register, Value>()
  await each(registers, async (register) => {
    shown.set(register, await show(registry, register, seen, findings))
    findings.compared++
  })
  for (const [register, value] of shown) {
    const allowed = possible(register)
    if (allowed.has(value)) continue
    findings.faults.push(
      `${nameOf(register)} is ${value}, but was acknowledged as ${[...allowed].join(' or ')}`,
    )
  }
  checkGroups(ledger, shown, actor.shared, findings)
  for (const [register, value] of shown) ledger.settle(register, value)
  for (const repository of [actor.shared, ...actor.repositories]) await checkTags(actor, repository, findings)
  checkManifests(ledger, findings)
  for (const upload of [...ledger.uploads.values()]) await checkUpload(actor, upload, findings)
  return findings
}

/** Requests the value of a register. Content that is seen for the first time is read completely. */
async function show(registry: Registry, register: Register, seen: Set<string>, { faults }: Findings) {
  const { kind, repository, name } = register
  const path = `/v2/${repository}/${kind === 'blob' ? 'blobs' : 'manifests'}/${name}`
  const isNew = kind !== 'tag' && !seen.has(`${repository} ${name}`)
  const answer = await registry.expect([200, 404], isNew ? 'GET' : 'HEAD', path)
  if (answer.status === 404) return null
  const digest = answer.headers.get('docker-content-digest')
  if (kind !== 'tag' && digest !== name) faults.push(`${nameOf(register)} is served as ${digest}`)
  if (isNew && !isDigestOf(name, answer.bytes)) faults.push(`${nameOf(register)} has other bytes`)
  seen.add(`${repository} ${name}`)
  return digest
}

/** All changes of a request have happened, or none. In the shared repository, others may have followed. */
function checkGroups({ groups }: Ledger, shown: Map<Register, Value>, shared: string, { faults }: Findings) {
  for (const group of groups.splice(0)) {
    const visible = group.filter(({ write, before }) => !before.includes(write.value))
    const isAnswered = group.some(({ write }) => Number.isFinite(write.ended))
    if (isAnswered || visible.some(({ register }) => register.repository === shared)) continue
    const happened = visible.filter(({ register, write }) => shown.get(register) === write.value)
    if (happened.length === 0 || happened.length === visible.length) continue
    faults.push(`half of a push is visible: ${visible.map(({ register }) => nameOf(register)).join(', ')}`)
  }
}

/** Each tag that is listed resolves, and was pushed. */
async function checkTags({ registry, ledger }: Actor, repository: string, { faults }: Findings) {
  const answer = await registry.expect([200, 404], 'GET', `/v2/${repository}/tags/list`)
  const { tags = [] } = answer.json<{ tags?: string[] }>()
  const expected = ledger.certain('tag', repository).sort()
  if (tags.join() !== expected.join()) faults.push(`${repository} lists ${tags}, but has ${expected}`)
  await each(tags, async (tag) => {
    const { status } = await registry.send('GET', `/v2/${repository}/manifests/${tag}`)
    if (status !== 200) faults.push(`${repository}:${tag} is listed but ${status}`)
  })
}

/** Each manifest that is served has its blobs. */
function checkManifests(ledger: Ledger, { faults }: Findings): void {
  for (const register of ledger.all('manifest')) {
    if (possible(register).has(null)) continue
    for (const { digest } of ledger.manifests.get(register.name)?.blobs ?? []) {
      const blob = ledger.register('blob', register.repository, digest)
      if (possible(blob).has(null)) faults.push(`${nameOf(register)} lacks ${digest}`)
    }
  }
}

/** An upload continues from the size in its status, which is at least the acknowledged one. Most are closed now. */
async function checkUpload(actor: Actor, upload: PendingUpload, findings: Findings): Promise<void> {
  const { registry, ledger, random } = actor
  const { location, sample, acknowledged, ending, repository } = upload
  const answer = await registry.expect([204, 404], 'GET', location)
  if (answer.status === 404) {
    ledger.uploads.delete(location)
    const isClosed = ending === 'close' && ledger.certain('blob', repository).includes(sample.digest)
    if (!isClosed && ending !== 'cancel') findings.faults.push(`the upload ${location} is gone`)
    return
  }
  const size = sizeOf(answer)
  // A kill between the link of the blob and the response leaves a closed upload, which has no bytes of its own.
  const isPublished =
    size === 0 && ending === 'close' && ledger.certain('blob', repository).includes(sample.digest)
  if ((size < acknowledged && ending !== 'cancel' && !isPublished) || size > sample.size) {
    const said = `has ${size} of ${sample.size} bytes, ${acknowledged} were acknowledged (${ending ?? 'open'})`
    findings.faults.push(`the upload ${location} ${said}`)
  }
  upload.acknowledged = size
  upload.ending = undefined
  if (random.chance(0.3)) return
  await close({ ...actor, repository }, upload, size)
  const blob = await registry.get(`/v2/${repository}/blobs/${sample.digest}`)
  if (!isDigestOf(sample.digest, blob.bytes)) findings.faults.push(`${location} became other bytes`)
  findings.finished++
}

function nameOf({ kind, repository, name }: Register): string {
  return `${kind} ${repository} ${name}`
}

/** Handles items with limited concurrency. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items]
  const one = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: requestsAtOnce }, one))
}
