import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType, Registry, type Sent } from '../lib/registry.ts'
import { parseTrace, type SystemCall, startTraced, type TracedServer } from './strace.ts'

/** The syncs of a push: the blob's file, its folder, and the database's log. */
const syncsPerBlob = 3
/** The first blob creates its folders. Each new folder is synced into its parent. */
const syncsOfFolders = 3
/** A manifest is a row, so it needs only the sync of the database's log. So do a small blob, a mount and a deletion. */
const syncsPerManifest = 1
/** An upload that only starts or grows is not acknowledged as stored. */
const syncsPerUpload = 0

/** The shortest duration of each sync, so that a response that does not wait for it comes visibly too early. */
const syncMilliseconds = 20

const repository = 'durability/image'

/** A request, its syncs, and what must happen before its response, in this order. */
interface Step {
  name: string
  request: [method: string, path: string, sent?: Sent]
  status: number
  syncs: number
  order: Event[]
}

/** A call to look for: its name, and what its arguments contain. */
interface Event {
  what: string
  calls: string[]
  argument: string
}

/**
 * Records the system calls of pushes and deletions. Checks that each response is sent only when its content is on disk, and
 * counts the syncs. Returns a line for each step.
 */
export async function checkOrder(): Promise<string[]> {
  const calls = ['fsync', 'fdatasync', 'sync_file_range', 'msync', 'sync', 'syncfs']
  const moves = ['rename', 'renameat', 'renameat2']
  const sends = ['write', 'writev', 'sendto', 'sendmsg']
  const trace = `trace=${[...calls, ...moves, ...sends].join(',')}`
  const slow = `inject=fsync,fdatasync:delay_enter=${syncMilliseconds * 1000}`
  await using traced = await startTraced(['-tt', '-y', '-s', '32', '-e', trace, '-e', slow])
  const steps = await play(traced)
  const own = withoutClock(parseTrace(await traced.finish()), traced.data)
  const groups = groupByAnswer(own, steps.length)
  return steps.map((step, i) => judge(step, groups[i] ?? []))
}

/** Leaves out the writes of the collector's clock, which are not part of a request: its file, then the folder. */
function withoutClock(calls: SystemCall[], data: string): SystemCall[] {
  let folders = 0
  return calls.filter(({ name, text }) => {
    if (text.includes('/gc-clock')) {
      if (name.startsWith('rename')) folders++
      return false
    }
    if (folders === 0 || !text.includes(`${data}>`)) return true
    folders--
    return false
  })
}

/** Sends the requests, one after the other. */
async function play({ server, data }: TracedServer): Promise<Step[]> {
  const registry = new Registry(server.address)
  const bytes = crypto.getRandomValues(new Uint8Array(3 * 1024 * 1024))
  const digest = sha256(bytes)
  const manifest = imageManifest({ digest, size: bytes.length }, [], 'durability')
  const hex = digest.slice('sha256:'.length)
  const base = `/v2/${repository}`
  const wal = { what: "the log's sync", calls: ['fsync', 'fdatasync'], argument: `${data}/cay.db-wal>` }
  const row = { syncs: syncsPerManifest, order: [wal] }
  const steps: Step[] = []
  const send = async (step: Step) => {
    steps.push(step)
    return await registry.expect([step.status], ...step.request)
  }
  const upload = { syncs: syncsPerUpload, order: [] }
  const begin: Step['request'] = ['POST', `${base}/blobs/uploads/`]
  const begun = await send({ name: 'upload begun', request: begin, status: 202, ...upload })
  const location = begun.headers.get('location') ?? ''
  const chunk: Step['request'] = ['PATCH', location, { body: bytes }]
  await send({ name: 'chunk appended', request: chunk, status: 202, ...upload })
  const stored = [
    { what: "the file's sync", calls: ['fdatasync', 'fsync'], argument: `${data}/uploads/` },
    { what: 'the rename', calls: ['rename', 'renameat', 'renameat2'], argument: hex },
    { what: "the folder's sync", calls: ['fsync'], argument: `${data}/blobs/sha256/${hex.slice(0, 2)}>` },
    wal,
  ]
  const made = { what: "the new folders' own sync", calls: ['fsync'], argument: `${data}/blobs/sha256>` }
  await send({
    name: 'first blob pushed',
    request: ['PUT', `${location}?digest=${digest}`],
    status: 201,
    syncs: syncsPerBlob + syncsOfFolders,
    order: [made, ...stored],
  })
  const whole: Step['request'] = [
    'POST',
    `/v2/durability/again/blobs/uploads/?digest=${digest}`,
    { body: bytes },
  ]
  await send({ name: 'blob pushed', request: whole, status: 201, syncs: syncsPerBlob, order: stored })
  const small = crypto.getRandomValues(new Uint8Array(1024))
  const config: Step['request'] = ['POST', `${base}/blobs/uploads/?digest=${sha256(small)}`, { body: small }]
  await send({ name: 'small blob pushed', request: config, status: 201, ...row })
  const sent = { headers: { 'content-type': manifestMediaType }, body: manifest }
  const put: Step['request'] = ['PUT', `${base}/manifests/latest`, sent]
  await send({ name: 'manifest pushed', request: put, status: 201, ...row })
  const mount = `/v2/durability/other/blobs/uploads/?mount=${digest}&from=${repository}`
  await send({ name: 'blob mounted', request: ['POST', mount], status: 201, ...row })
  const pull: Step['request'] = ['GET', `${base}/manifests/latest`]
  await send({ name: 'manifest pulled', request: pull, status: 200, ...upload })
  const gone: [string, string][] = [
    ['tag', `${base}/manifests/latest`],
    ['manifest', `${base}/manifests/${sha256(manifest)}`],
    ['blob', `${base}/blobs/${digest}`],
  ]
  for (const [kind, path] of gone) {
    await send({ name: `${kind} deleted`, request: ['DELETE', path], status: 202, ...row })
  }
  return steps
}

/** The calls between the previous response and this one, and then the call that sends this one. */
function groupByAnswer(calls: SystemCall[], count: number): SystemCall[][] {
  const ends = calls.flatMap((call, i) => (call.text.includes('"HTTP/1.1 ') ? [i + 1] : []))
  if (ends.length !== count) throw new Error(`${ends.length} responses were recorded, not ${count}`)
  return ends.map((end, i) => calls.slice(ends[i - 1] ?? 0, end).filter((call) => isOfStep(call, i)))
}

/** The start of the server comes before the first response, so its syncs are not counted. */
function isOfStep({ text }: SystemCall, step: number): boolean {
  return step > 0 || text.includes('"HTTP/1.1 ')
}

function judge({ name, status, syncs, order }: Step, calls: SystemCall[]): string {
  const record = () => `\n${calls.map(({ text }) => text).join('\n')}`
  const answer = calls.at(-1)
  if (!answer?.text.includes(`"HTTP/1.1 ${status} `))
    throw new Error(`${name}: no response ${status}${record()}`)
  let before: SystemCall | undefined
  for (const { what, calls: names, argument } of order) {
    const call = calls.find(({ name: called, text }) => names.includes(called) && text.includes(argument))
    if (!call || !/= 0( \(DELAYED\))?$/.test(call.text))
      throw new Error(`${name}: ${what} is missing before the response${record()}`)
    if (before && call.began <= before.ended) throw new Error(`${name}: ${what} comes too early${record()}`)
    before = call
  }
  if (before && answer.began <= before.ended)
    throw new Error(`${name}: the response comes too early${record()}`)
  const synced = calls.filter(({ name: called }) => called.includes('sync')).length
  if (synced !== syncs) throw new Error(`${name}: ${synced} syncs, not ${syncs}${record()}`)
  return `${name}: ${syncs} syncs${order.length ? `, ${order.map(({ what }) => what).join(', ')}, then ${status}` : ''}`
}
