import { sha256 } from '../lib/image.ts'
import { imageManifest, locationOf, manifestMediaType, randomBlob, type Sent } from '../lib/registry.ts'
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
  const { bytes, digest, size } = randomBlob(3 * 1024 * 1024)
  const manifest = imageManifest({ digest, size }, [], 'durability')
  const hex = digest.slice('sha256:'.length)
  const base = `/v2/${repository}`
  const wal = { what: "the log's sync", calls: ['fsync', 'fdatasync'], argument: `${data}/cay.db-wal>` }
  const stored = [
    { what: "the file's sync", calls: ['fdatasync', 'fsync'], argument: `${data}/uploads/` },
    { what: 'the rename', calls: ['rename', 'renameat', 'renameat2'], argument: hex },
    { what: "the folder's sync", calls: ['fsync'], argument: `${data}/blobs/sha256/${hex.slice(0, 2)}>` },
    wal,
  ]
  const made = { what: "the new folders' own sync", calls: ['fsync'], argument: `${data}/blobs/sha256>` }
  const none = { syncs: syncsPerUpload, order: [] }
  const row = { syncs: syncsPerManifest, order: [wal] }
  const first = { syncs: syncsPerBlob + syncsOfFolders, order: [made, ...stored] }
  const steps: Step[] = []
  const send = async (
    name: string,
    status: number,
    expected: Pick<Step, 'syncs' | 'order'>,
    ...request: [method: string, path: string, sent?: Sent]
  ) => {
    steps.push({ name, status, ...expected })
    return await server.registry.expect([status], ...request)
  }
  const location = locationOf(await send('upload begun', 202, none, 'POST', `${base}/blobs/uploads/`))
  await send('chunk appended', 202, none, 'PATCH', location, { body: bytes })
  await send('first blob pushed', 201, first, 'PUT', `${location}?digest=${digest}`)
  const again = `/v2/durability/again/blobs/uploads/?digest=${digest}`
  await send('blob pushed', 201, { syncs: syncsPerBlob, order: stored }, 'POST', again, { body: bytes })
  const small = randomBlob(1024)
  const config = `${base}/blobs/uploads/?digest=${small.digest}`
  await send('small blob pushed', 201, row, 'POST', config, { body: small.bytes })
  const sent = { headers: { 'content-type': manifestMediaType }, body: manifest }
  await send('manifest pushed', 201, row, 'PUT', `${base}/manifests/latest`, sent)
  const mount = `/v2/durability/other/blobs/uploads/?mount=${digest}&from=${repository}`
  await send('blob mounted', 201, row, 'POST', mount)
  await send('manifest pulled', 200, none, 'GET', `${base}/manifests/latest`)
  await send('tag deleted', 202, row, 'DELETE', `${base}/manifests/latest`)
  await send('manifest deleted', 202, row, 'DELETE', `${base}/manifests/${sha256(manifest)}`)
  await send('blob deleted', 202, row, 'DELETE', `${base}/blobs/${digest}`)
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
