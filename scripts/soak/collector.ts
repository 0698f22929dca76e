import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { Registry } from '../lib/registry.ts'
import { collectorActs, makeImages, pull, type SoakClient, type Times } from './collector-acts.ts'
import { checkDataFolder } from './data-folder.ts'
import { type Trial, type TrialContext, workThrough } from './trial.ts'

const imageCount = 24
const roundMilliseconds = 5000
const times: Times = { grace: 1000, window: 3000 }
/** The longest time until garbage is collected, after the last push. */
const endSecondsMax = 60

/**
 * Clients push, pull, delete and restore while the collector works with a grace period of one second. Tagged content
 * must always be complete, nothing may dangle, and in the end only tagged content may be left.
 */
export function collectorTrial({ data, random, samples, repositories, shared }: TrialContext): Trial {
  const images = makeImages(samples, random, imageCount)
  const counts = new Map<string, number>()
  const clients: SoakClient[] = repositories.map((repository) => ({
    registry: new Registry(''),
    random: random.fork(),
    samples,
    images,
    repository,
    shared,
    times,
    tags: new Map(),
    lost: [],
    faults: [],
  }))
  const meet = (address: string) => {
    const registry = new Registry(address)
    for (const client of clients) client.registry = registry
    return registry
  }
  const pullAll = async () => {
    for (const client of clients)
      for (const [tag, image] of client.tags) await pull(client, client.repository, tag, image)
    return clients.flatMap(({ faults }) => faults)
  }
  return {
    env: {
      CAY_GC_GRACE_SECONDS: String(times.grace / 1000),
      CAY_GC_WINDOW_SECONDS: String(times.window / 1000),
      CAY_GC_INTERVAL_SECONDS: '1',
    },
    roundMilliseconds: () => roundMilliseconds,
    work({ address }, state) {
      meet(address)
      const onDone = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
      return clients.map((client) => workThrough(client, collectorActs, state, { onDone }))
    },
    async examine({ address }, isLast) {
      const registry = meet(address)
      for (const client of clients) await learn(client)
      const faults = [...(await pullAll()), ...dangling(data), ...(await checkDataFolder(data, new Set()))]
      if (!isLast || faults.length > 0) return faults
      return [...(await settle(registry, data, clients)), ...(await pullAll()), ...dangling(data)]
    },
    summary: () =>
      `${[...counts].map(([name, count]) => `${count} ${name}`).join(', ')}; nothing that was tagged was lost, nothing ` +
      'dangles, no garbage is left',
  }
}
/** The action that the kill interrupted may or may not have happened, so the client asks. All earlier ones must have. */
async function learn(client: SoakClient): Promise<void> {
  const { registry, repository, images } = client
  const answer = await registry.expect([200, 404], 'GET', `/v2/${repository}/tags/list`)
  const { tags = [] } = answer.json<{ tags?: string[] }>()
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

/** Returns live manifests with blobs that their repository does not have. */
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

/** When nothing changes any more, all garbage is collected, also what the kills left behind, and nothing else. */
async function settle(registry: Registry, data: string, clients: SoakClient[]): Promise<string[]> {
  const kept = new Set(
    clients.flatMap(({ tags }) =>
      [...tags.values()].flatMap(({ blobs }) => blobs.map(({ digest }) => digest)),
    ),
  )
  const shared = encodeURIComponent(clients[0]?.shared ?? '')
  await registry.expect([200, 202, 204, 404], 'DELETE', `/api/v1/repositories/${shared}`)
  const until = performance.now() + endSecondsMax * 1000
  let faults = differences(data, kept)
  while (performance.now() < until && faults.length > 0) {
    await registry.send('POST', '/api/v1/jobs', { json: { kind: 'gc' } })
    await Bun.sleep(250)
    faults = differences(data, kept)
  }
  return faults
}

/** Compares the stored blobs, in the database and in files, with those that must be kept. */
function differences(data: string, kept: Set<string>): string[] {
  using database = new Database(join(data, 'cay.db'), { readonly: true })
  const rows = database
    .query<{ digest: string; isSmall: number }, []>(
      `select 'sha256:' || lower(hex(digest)) as digest, blob_bytes.blob_id is not null as isSmall
       from blob left join blob_bytes on blob_id = id`,
    )
    .all()
  const names = new Set(rows.map(({ digest }) => digest))
  const large = new Set(rows.filter(({ isSmall }) => !isSmall).map(({ digest }) => digest))
  const paths = [...new Bun.Glob('*/*/*').scanSync(join(data, 'blobs'))]
  const files = new Set(paths.map((path) => path.replace(/^(\w+)\/\w+\//, '$1:')))
  const say = (what: string, digests: Set<string>) => [...digests].map((digest) => `${what}: ${digest}`)
  return [
    ...say('garbage is left', names.difference(kept)),
    ...say('a blob is gone', kept.difference(names)),
    ...say('a file is left', files.difference(large)),
  ]
}
