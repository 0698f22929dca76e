import { Database } from 'bun:sqlite'
import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from './build.ts'
import { makeImages, pull, type SoakClient, send, type Times, work } from './collector-soak/client.ts'
import { Registry } from './lib/registry.ts'
import { type Server, startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'
import { checkDataFolder } from './soak/data-folder.ts'
import { Random } from './soak/random.ts'
import { Samples } from './soak/samples.ts'

const clientCount = 6
const imageCount = 24
const roundMilliseconds = 5000
const times: Times = { grace: 1000, window: 3000 }
const settings = {
  CAY_GC_GRACE_SECONDS: String(times.grace / 1000),
  CAY_GC_WINDOW_SECONDS: String(times.window / 1000),
  CAY_GC_INTERVAL_SECONDS: '1',
}
/** How long garbage may take to be gone, when nothing more is pushed. */
const endSecondsMax = 60

/**
 * `collector-soak [--seconds 120] [--seed <number>]`: pushes, pulls, deletes, restores and the collector, with a grace
 * of a second, all at once; the server is killed (SIGKILL) every few seconds. What is tagged must be whole at every
 * moment, nothing may dangle, and in the end nothing but what is tagged may be left.
 * @throws Error with all that was wrong, and the seed
 */
export async function run(args: string[]): Promise<void> {
  const options = { seconds: { type: 'string', default: '120' }, seed: { type: 'string' } } as const
  const { values } = parseArgs({ args, options })
  const seconds = Number(values.seconds)
  const seed = Number(values.seed ?? crypto.getRandomValues(new Uint32Array(1))[0])
  if (!(seconds > 0) || !Number.isInteger(seed))
    throw new Error('usage: collector-soak [--seconds 120] [--seed <number>]')
  console.log(`collector-soak: ${seconds} seconds, ${clientCount} clients, seed ${seed}`)
  await using folder = await temporaryFolder('collector-soak')
  const [data, executable] = [join(folder.path, 'data'), join(folder.path, 'cay')]
  await mkdir(data)
  await copyFile(process.env.CAY_EXECUTABLE ?? (await build()), executable)
  const start = () => startServer({ data, executable, env: settings })
  const clients = makeClients(new Random(seed))
  const until = performance.now() + seconds * 1000
  let kills = 0
  while (performance.now() < until) {
    await round(await start(), clients)
    kills++
    await using server = await start()
    await examine(server, data, clients, seed)
  }
  await using server = await start()
  await settle(server, data, clients, seed)
  const counts = new Map<string, number>()
  for (const client of clients) {
    for (const [name, count] of client.counts) counts.set(name, (counts.get(name) ?? 0) + count)
  }
  const said = [...counts].map(([name, count]) => `${count} ${name}`).join(', ')
  console.log(
    `${kills} kills; ${said}; nothing that was tagged was lost, nothing dangles, no garbage is left`,
  )
}

function makeClients(random: Random): SoakClient[] {
  const samples = new Samples(random.fork())
  const images = makeImages(samples, random, imageCount)
  return Array.from({ length: clientCount }, (_, number) => ({
    registry: new Registry(''),
    random: random.fork(),
    samples,
    images,
    repository: `soak/client-${number}`,
    shared: 'soak/shared',
    times,
    tags: new Map(),
    lost: [],
    faults: [],
    counts: new Map(),
  }))
}

/** Lets all clients work for a while, then kills the server in the middle of it. */
async function round(server: Server, clients: SoakClient[]): Promise<void> {
  const state = { over: false }
  const working = clients.map((client) => {
    client.registry = new Registry(server.address)
    return work(client, state)
  })
  const failed = Promise.all(working)
  await Promise.race([Bun.sleep(roundMilliseconds), failed])
  state.over = true
  process.kill(server.pid, 'SIGKILL')
  await server.stop()
  await failed
}

/** After a kill: what was acknowledged is there and whole, and no row names what is not there. */
async function examine(server: Server, data: string, clients: SoakClient[], seed: number): Promise<void> {
  const registry = new Registry(server.address)
  for (const client of clients) {
    client.registry = registry
    await learn(client)
    for (const [tag, image] of client.tags) await pull(client, client.repository, tag, image)
  }
  report(
    [
      ...clients.flatMap(({ faults }) => faults),
      ...dangling(data),
      ...(await checkDataFolder(data, new Set())),
    ],
    seed,
  )
}

/** The act that the kill cut off may have happened or not: the client asks. All others must have happened. */
async function learn(client: SoakClient): Promise<void> {
  const { registry, repository, images } = client
  const answer = await registry.expect([200, 404], 'GET', `/v2/${repository}/tags/list`)
  const { tags = [] } = JSON.parse(new TextDecoder().decode(answer.bytes)) as { tags?: string[] }
  const found = new Map<string, (typeof images)[number]>()
  for (const tag of tags) {
    const { headers } = await registry.expect([200], 'HEAD', `/v2/${repository}/manifests/${tag}`)
    const image = images.find(({ digest }) => digest === headers.get('docker-content-digest'))
    if (image !== undefined) found.set(tag, image)
  }
  const changed = new Set(
    [...client.tags.keys(), ...found.keys()].filter((tag) => client.tags.get(tag) !== found.get(tag)),
  )
  const digests = new Set([...changed].map((tag) => client.tags.get(tag)?.digest))
  const isOneAct = changed.size <= 1 || found.size === 0 || client.tags.size === 0 || digests.size === 1
  if (!isOneAct) client.faults.push(`${repository}: more than one act is missing: ${[...changed]}`)
  client.tags = found
  client.lost = []
}

/** Live manifests whose blobs their repository does not hold. */
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
  return rows.map(
    ({ name, manifest, digest }) => `${name}: manifest ${manifest} names ${digest}, which is not there`,
  )
}

/** When nobody changes anything any more, all garbage goes, and nothing else. */
async function settle(server: Server, data: string, clients: SoakClient[], seed: number): Promise<void> {
  const registry = new Registry(server.address)
  const kept = new Set(
    clients.flatMap(({ tags }) =>
      [...tags.values()].flatMap(({ blobs }) => blobs.map((blob) => blob.digest)),
    ),
  )
  await registry.expect(
    [200, 202, 204, 404],
    'DELETE',
    `/api/v1/repositories/${encodeURIComponent('soak/shared')}`,
  )
  const until = performance.now() + endSecondsMax * 1000
  let stored = filesOf(data)
  while (performance.now() < until && stored.length !== kept.size) {
    await send(registry, 'POST', '/api/v1/jobs', { kind: 'collect' })
    await Bun.sleep(250)
    stored = filesOf(data)
  }
  const left = stored.filter((digest) => !kept.has(digest)).map((digest) => `garbage is left: ${digest}`)
  const gone = [...kept]
    .filter((digest) => !stored.includes(digest))
    .map((digest) => `a blob is gone: ${digest}`)
  for (const client of clients) {
    client.registry = registry
    for (const [tag, image] of client.tags) await pull(client, client.repository, tag, image)
  }
  report([...left, ...gone, ...clients.flatMap(({ faults }) => faults), ...dangling(data)], seed)
}

/** The digests of the files of blobs. */
function filesOf(data: string): string[] {
  const files = [...new Bun.Glob('*/*/*').scanSync(join(data, 'blobs'))]
  return files.map((path) => path.replace(/^(\w+)\/\w+\//, '$1:'))
}

function report(faults: string[], seed: number): void {
  if (faults.length > 0) throw new Error(`collector-soak --seed ${seed}:\n${faults.slice(0, 40).join('\n')}`)
}
