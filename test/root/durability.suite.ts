/**
 * By strace: content is on disk before it is acknowledged, what a failing disk refuses is neither acknowledged nor visible,
 * and a slow disk slows down no pull. The last compares times, so it runs beside nothing else.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { sha256 } from '../../scripts/lib/image.ts'
import { percentile } from '../../scripts/lib/percentiles.ts'
import {
  imageManifest,
  locationOf,
  manifestMediaType,
  type Registry,
  randomBlob,
  type Sent,
  sizeOf,
} from '../../scripts/lib/registry.ts'
import { whileRepeating } from '../../scripts/lib/repeated.ts'
import { type Server, startServer } from '../../scripts/lib/server.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { checkDatabase } from './data-folder.ts'
import {
  afflict,
  parseTrace,
  type SystemCall,
  startTraced,
  type TracedServer,
  wrapInStrace,
} from './strace.ts'

const MiB = 1024 * 1024
const blobBytes = 3 * MiB
const repository = 'durability/image'
const fixture = join(import.meta.dir, '../fixtures/data-0002')

/** The shortest duration of each sync, so that a response that does not wait for it comes visibly too early. */
const syncMilliseconds = 20

test('order: a response follows the syncs of what it acknowledges, and a request makes no other syncs', async () => {
  const calls = 'fsync,fdatasync,sync_file_range,msync,sync,syncfs,rename,renameat,renameat2'
  const trace = `trace=${calls},write,writev,sendto,sendmsg`
  const slowed = `inject=fsync,fdatasync:delay_enter=${syncMilliseconds * 1000}`
  await using traced = await startTraced(['-tt', '-y', '-s', '32', '-e', trace, '-e', slowed])
  const steps = await play(traced)
  const own = withoutClock(parseTrace(await traced.finish()), traced.data)
  const ends = own.flatMap((call, i) => (call.text.includes('"HTTP/1.1 ') ? [i + 1] : []))
  expect(ends.length).toBe(steps.length)
  // The start of the server comes before the first response, so its syncs are not counted.
  for (const [i, step] of steps.entries()) judge(step, own.slice(ends[i - 1] ?? ends[0]! - 1, ends[i]))
}, 60_000)

/** @throws Error if the calls until a response are not in their order, or have other syncs */
function judge({ name, status, syncs, order }: Step, calls: SystemCall[]): void {
  const record = `\n${calls.map(({ text }) => text).join('\n')}`
  const answer = calls.at(-1)!
  expect(answer.text, name).toContain(`"HTTP/1.1 ${status} `)
  let before: SystemCall | undefined
  for (const { what, calls: names, argument } of order) {
    const call = calls.find(({ name: called, text }) => names.includes(called) && text.includes(argument))
    if (!call || !/= 0( \(DELAYED\))?$/.test(call.text))
      throw new Error(`${name}: ${what} is missing before the response${record}`)
    if (before && call.began <= before.ended) throw new Error(`${name}: ${what} comes too early${record}`)
    before = call
  }
  if (before && answer.began <= before.ended)
    throw new Error(`${name}: the response comes too early${record}`)
  expect(calls.filter(({ name: called }) => called.includes('sync')).length, name + record).toBe(syncs)
}

/** A request, its syncs, and what must happen before its response, in this order. */
interface Step {
  name: string
  status: number
  syncs: number
  order: { what: string; calls: string[]; argument: string }[]
}

/** Sends the requests, one after the other. */
async function play({ server, data }: TracedServer): Promise<Step[]> {
  const { bytes, digest, size } = randomBlob(blobBytes)
  const manifest = imageManifest({ digest, size }, [], 'durability')
  const hex = digest.slice('sha256:'.length)
  const base = `/v2/${repository}`
  const log = { what: "the log's sync", calls: ['fsync', 'fdatasync'], argument: `${data}/cay.db-wal>` }
  const stored = [
    { what: "the file's sync", calls: ['fdatasync', 'fsync'], argument: `${data}/uploads/` },
    { what: 'the rename', calls: ['rename', 'renameat', 'renameat2'], argument: hex },
    { what: "the folder's sync", calls: ['fsync'], argument: `${data}/blobs/sha256/${hex.slice(0, 2)}>` },
    log,
  ]
  const made = { what: "the new folders' own sync", calls: ['fsync'], argument: `${data}/blobs/sha256>` }
  // An upload that only starts or grows is not acknowledged as stored.
  const none = { syncs: 0, order: [] }
  // A small blob, a manifest, a mount and a deletion are rows of the database.
  const row = { syncs: 1, order: [log] }
  const blob = { syncs: 3, order: stored }
  // The first blob creates its folders. Each new folder is synced into its parent.
  const first = { syncs: 3 + 3, order: [made, ...stored] }
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
  const begun = await send('an upload that begins', 202, none, 'POST', `${base}/blobs/uploads/`)
  const location = locationOf(begun)
  await send('a chunk', 202, none, 'PATCH', location, { body: bytes })
  await send('the first blob', 201, first, 'PUT', `${location}?digest=${digest}`)
  const again = `/v2/durability/again/blobs/uploads/?digest=${digest}`
  await send('a blob', 201, blob, 'POST', again, { body: bytes })
  const small = randomBlob(1024)
  const config = `${base}/blobs/uploads/?digest=${small.digest}`
  await send('a small blob', 201, row, 'POST', config, { body: small.bytes })
  const sent = { headers: { 'content-type': manifestMediaType }, body: manifest }
  await send('a manifest', 201, row, 'PUT', `${base}/manifests/latest`, sent)
  const mount = `/v2/durability/other/blobs/uploads/?mount=${digest}&from=${repository}`
  await send('a mount', 201, row, 'POST', mount)
  await send('a pull', 200, none, 'GET', `${base}/manifests/latest`)
  await send('the deletion of a tag', 202, row, 'DELETE', `${base}/manifests/latest`)
  await send('the deletion of a manifest', 202, row, 'DELETE', `${base}/manifests/${sha256(manifest)}`)
  await send('the deletion of a blob', 202, row, 'DELETE', `${base}/blobs/${digest}`)
  return steps
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

describe('failing disk: what fails is neither acknowledged nor visible, and the upload continues:', () => {
  let folder: TemporaryFolder
  let server: Server
  let registry: Registry
  let data: string

  beforeAll(async () => {
    folder = await temporaryFolder('failing')
    data = join(folder.path, 'data')
    await mkdir(data)
    server = await startServer({ data })
    registry = server.registry
  })

  afterAll(async () => {
    await server.stop()
    const faults = checkDatabase(data)
    await folder[Symbol.asyncDispose]()
    expect(faults).toEqual([])
  })

  const everywhere = () => []
  const inFolder = ({ stored }: Upload) => [stored]
  const inLog = () => [join(data, 'cay.db-wal')]
  test.each<[what: string, call: string, paths: (upload: Upload) => string[], status: number, kept: number]>([
    ["making the blob's folders", 'mkdir:error=ENOSPC', everywhere, 507, blobBytes],
    ["the file's sync", 'fdatasync:error=EIO', ({ file }) => [file], 500, 0],
    ["the folder's sync", 'fsync:error=EIO', inFolder, 500, 0],
    ['the rename', 'rename:error=ENOSPC', everywhere, 507, 0],
    ["the log's write", 'pwrite64:error=ENOSPC', inLog, 507, 0],
    [
      "opening the folder, which keeps the upload's bytes",
      'open,openat:error=EMFILE',
      inFolder,
      500,
      blobBytes,
    ],
  ])('%s (%s)', async (_what, injection, paths, status, kept) => {
    const upload = await begin(registry, data)
    const blob = `/v2/${repository}/blobs/${upload.digest}`
    await registry.append(upload.location, upload.bytes)
    {
      await using _ = await afflict(server, injection, paths(upload))
      await registry.expect([status], 'PUT', `${upload.location}?digest=${upload.digest}`)
      await registry.expect([404], 'HEAD', blob)
    }
    await registry.expect([404], 'HEAD', blob)
    const size = sizeOf(await registry.expect([204], 'GET', upload.location))
    expect(size).toBeGreaterThanOrEqual(kept)
    await registry.closeUpload(upload.location, upload.digest, upload.bytes.subarray(size))
    await registry.pullBlob(repository, upload.digest)
  })

  test('the write of a chunk', async () => {
    const { location, bytes, digest, file } = await begin(registry, data)
    const half = blobBytes / 2
    await registry.append(location, bytes.subarray(0, half))
    {
      await using _ = await afflict(server, 'pwrite64:error=ENOSPC', [file])
      await registry.expect([507], 'PATCH', location, { body: bytes.subarray(half) })
    }
    expect(sizeOf(await registry.expect([204], 'GET', location))).toBe(half)
    await registry.closeUpload(location, digest, bytes.subarray(half))
    await registry.pullBlob(repository, digest)
  })

  test('the write of a manifest, beside which pulls work', async () => {
    const { bytes, digest, size } = randomBlob(64)
    await registry.pushBlob(repository, digest, bytes)
    const manifest = imageManifest({ digest, size }, [], 'failing')
    const path = `/v2/${repository}/manifests/${sha256(manifest)}`
    {
      await using _ = await afflict(server, 'pwrite64:error=ENOSPC')
      await registry.expect([507], 'PUT', path, { body: manifest })
      await registry.expect([404], 'GET', path)
      await registry.get(`/v2/${repository}/blobs/${digest}`)
    }
    await registry.expect([404], 'GET', path)
    await registry.pushManifest(repository, 'latest', manifest)
  })

  test('a file system without hard links stores blobs all the same', async () => {
    const { location, bytes, digest } = await begin(registry, data)
    await using _ = await afflict(server, 'link,linkat:error=EPERM')
    await registry.append(location, bytes)
    await registry.closeUpload(location, digest)
    await registry.pullBlob(repository, digest)
  })
})

interface Upload {
  bytes: Uint8Array
  digest: string
  location: string
  /** Its file. */
  file: string
  /** The folder that the blob's file will be in. */
  stored: string
}

async function begin(registry: Registry, data: string): Promise<Upload> {
  const location = await registry.startUpload(repository)
  const [uuid = ''] = location.split('/').at(-1)?.split('~') ?? []
  const file = join(data, 'uploads', `${uuid}.sha256`)
  const { bytes, digest } = randomBlob(blobBytes)
  return { bytes, digest, location, file, stored: join(data, 'blobs/sha256', digest.slice(7, 9)) }
}

/** Manifests are large enough to checkpoint the database's log after a few of them. */
const noteBytes = 2 * MiB
const manifestsMax = 64

test.each([
  ["the log's sync", 'cay.db-wal'],
  ["a checkpoint's sync", 'cay.db'],
])(
  'failing disk: if %s fails, the process ends, and everything acknowledged exists after a restart',
  async (_, name) => {
    await using folder = await temporaryFolder('failing')
    const data = join(folder.path, 'data')
    let acknowledged: string[] = []
    {
      await using server = await startServer({ data })
      acknowledged = await pushUntilDeath(server, join(data, name))
      expect(await server.exited).toBe(1)
      expect(server.log()).toContain('the disk of the database failed')
    }
    await using server = await startServer({ data })
    for (const path of acknowledged) await server.registry.get(path)
    await push(server.registry)
    expect(checkDatabase(data)).toEqual([])
  },
)

/** Pushes while syncs of a file fail, and returns the paths of what was acknowledged. */
async function pushUntilDeath(server: Server, path: string): Promise<string[]> {
  const acknowledged = [await push(server.registry)]
  await using _ = await afflict(server, 'fsync,fdatasync:error=EIO', [path])
  while (acknowledged.length < manifestsMax) {
    try {
      acknowledged.push(await push(server.registry))
    } catch {
      return acknowledged
    }
  }
  throw new Error(`${manifestsMax} manifests were acknowledged although syncs of ${path} fail`)
}

/** Pushes a manifest by its digest, and returns its path. */
async function push(registry: Registry): Promise<string> {
  const { bytes, ...config } = randomBlob(64)
  await registry.pushBlob(repository, config.digest, bytes)
  const manifest = imageManifest(config, [], sha256(bytes).repeat(noteBytes / 64))
  await registry.pushManifest(repository, sha256(manifest), manifest)
  return `/v2/${repository}/manifests/${sha256(manifest)}`
}

test.each([
  ['is killed before its copy has its name', 'rename:signal=SIGKILL', /./],
  [
    'has no space for its copy',
    'pwrite64:error=ENOSPC',
    /cannot copy the database .*: .*disk is full.*takes up to \d+ MiB: free that much/,
  ],
])(
  'migration: one that %s leaves no partial copy, and the next start migrates',
  async (_, injection, said) => {
    await using folder = await temporaryFolder('migration')
    const data = join(folder.path, 'data')
    await cp(fixture, data, { recursive: true })
    const copy = join(data, 'cay.db.before-2')
    const calls = injection.slice(0, injection.indexOf(':'))
    const options = [
      '-o',
      '/dev/null',
      '-e',
      `trace=${calls}`,
      '-e',
      `inject=${injection}`,
      '-P',
      `${copy}.new`,
    ]
    const executable = await wrapInStrace(folder.path, options)
    await expect(startServer({ data, executable })).rejects.toThrow(said)
    expect(existsSync(copy)).toBe(false)
    await using _server = await startServer({ data })
    expect((await readdir(data)).filter((name) => name.includes('.before-'))).toEqual(['cay.db.before-2'])
    expect(checkDatabase(data)).toEqual([])
  },
)

const slow = {
  syncMilliseconds: 50,
  /** How much the slow disk may add to the p99 of a pull. */
  addedMillisecondsMax: 10,
  pushers: 8,
  /** Pulls start at a fixed rate, so that a busy server does not reduce their number. */
  pullMilliseconds: 4,
  pulls: 1000,
  /** The fewest pushes during the measurement for it to be meaningful. */
  pushesMin: 40,
  layerBytes: 256 * 1024,
  /** Other load on the machine only adds to a measurement, so one good one is enough. */
  attempts: 3,
}

test('slow disk: pulls beside pushes are no slower while each sync takes 50 ms', async () => {
  let faults: string[] = []
  for (let attempt = 0; attempt < slow.attempts; attempt++) {
    const calls = 'fsync,fdatasync'
    const usual = await measure(['-e', `trace=${calls}`])
    const delay = `inject=${calls}:delay_exit=${slow.syncMilliseconds * 1000}`
    const slowed = await measure(['-e', `trace=${calls}`, '-e', delay])
    expect(slowed.pushes).toBeGreaterThanOrEqual(slow.pushesMin)
    faults = (['manifest', 'blob'] as const)
      .filter((kind) => slowed[kind] - usual[kind] > slow.addedMillisecondsMax)
      .map((kind) => `the p99 of a ${kind} is ${slowed[kind]} ms, not ${usual[kind]}`)
    if (faults.length === 0) return
  }
  throw new Error(faults.join('\n'))
}, 120_000)

/** Pulls a manifest and a blob in a file by turns while other clients push. Returns each one's p99 in milliseconds. */
async function measure(options: string[]): Promise<{ manifest: number; blob: number; pushes: number }> {
  await using traced = await startTraced(options)
  const registry = traced.server.registry
  const digest = await registry.pushRandomImage(repository, 'first', slow.layerBytes)
  let pushes = 0
  const pushOne = async () => {
    // The tags move, so that no response can come from memory for long.
    await registry.pushRandomImage(repository, `pushed-${pushes % slow.pushers}`, slow.layerBytes)
    pushes++
  }
  const pull = async (path: string, due: number) => {
    await registry.get(`/v2/${repository}/${path}`)
    return performance.now() - due
  }
  const pullAll = async () => {
    const pulls: Promise<number>[][] = [[], []]
    for (let due = performance.now(), n = 0; n < slow.pulls; n++, due += slow.pullMilliseconds) {
      await Bun.sleep(Math.max(0, due - performance.now()))
      pulls[n % 2]?.push(pull(n % 2 === 0 ? 'manifests/first' : `blobs/${digest}`, due))
    }
    return await Promise.all(pulls.map(async (times) => percentile(await Promise.all(times), 0.99)))
  }
  const [manifest = 0, blob = 0] = await whileRepeating(pushOne, pullAll, slow.pushers)
  return { manifest, blob, pushes }
}
