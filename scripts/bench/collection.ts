import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { sha256 } from '../lib/image.ts'
import { registryConfig } from '../lib/peers.ts'
import { imageManifest, type Registry, randomBlob } from '../lib/registry.ts'
import { writeRepository } from '../lib/registry-folder.ts'
import { whileRepeating } from '../lib/repeated.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { absolute, type Bench, type Case, relative } from './lib/case.ts'
import { fillMetadata } from './lib/filled-metadata.ts'
import type { Row } from './lib/measurement.ts'
import { imageOf, publishImage } from './push.ts'

const garbage = 100
const images = 10_000
const repository = 'bench/garbage'
const settings = { CAY_GC_GRACE_SECONDS: '1', CAY_GC_WINDOW_SECONDS: '1' }
const settleMilliseconds = 2500
const blobBytes = 1024

/** Measures the collection of garbage in a full registry while it serves. */
export const collectionCases: Case[] = [
  {
    name: 'collection',
    title: ({ repositories }) =>
      `${garbage} manifests and their blobs collected: of ${repositories.toLocaleString('en')} repositories of ` +
      `100 tags (cay, while it serves), of ${images.toLocaleString('en')} images (docker-registry, stopped)`,
    unit: 'ms',
    reference: 'docker-registry',
    targets: [
      relative('at most', 0.5),
      absolute('cay', 'at most', 1000),
      absolute('cay, longest wait of a pull', 'at most', 20),
    ],
    run: async (bench) => [...(await measureCay(bench)), await measureRegistry(bench)],
  },
]

/** Pushes what becomes garbage, takes its tags away, and has it collected while a manifest is pulled all the time. */
async function measureCay({ executables, random, scale }: Bench): Promise<Row[]> {
  await using folder = await temporaryFolder('bench-collection')
  await fillMetadata(executables, folder.path, scale.repositories)
  forgetHistory(folder.path)
  const options = { data: folder.path, executable: executables.cay, env: settings }
  await using server = await startServer(options)
  const peer = { name: 'cay' as const, port: server.port, data: '' }
  const pieces = random.pieces(2 * (garbage + 1), blobBytes)
  for (let i = 0; i <= garbage; i++) {
    const image = imageOf(pieces[2 * i]!, pieces[2 * i + 1]!)
    await publishImage(peer, repository, image, `v${i}`)
  }
  for (let i = 0; i < garbage; i++) {
    await server.registry.expect([202], 'DELETE', `/v2/${repository}/manifests/v${i}`)
  }
  // The first request loads the admin API, which is not to be measured.
  await server.registry.get('/api/v1/jobs')
  await Bun.sleep(settleMilliseconds)
  const waits: number[] = []
  // Without a pause.
  const pull = async () => {
    const began = performance.now()
    await server.registry.get(`/v2/${repository}/manifests/v${garbage}`)
    waits.push(performance.now() - began)
  }
  const [manifests, blobs] = await whileRepeating(pull, async () => {
    const first = await collect(server.registry)
    await Bun.sleep(settleMilliseconds)
    return [first, await collect(server.registry)] as const
  })
  const value = manifests + blobs
  const note = `${manifests.toFixed(0)} ms for the manifests, ${blobs.toFixed(0)} ms for the blobs`
  return [
    { name: 'cay', value, note },
    { name: 'cay, longest wait of a pull', value: Math.max(...waits), note: `of ${waits.length} pulls` },
  ]
}

/** The window is a second here: what has been within it for weeks would be collected, too. */
function forgetHistory(data: string): void {
  using database = new Database(join(data, 'cay.db'))
  database.run('DELETE FROM tag_history')
  database.run('PRAGMA wal_checkpoint(TRUNCATE)')
}

/** Runs the collector once, to its end, and returns how many milliseconds it took. */
async function collect(registry: Registry): Promise<number> {
  const began = performance.now()
  await registry.runJob('gc')
  return performance.now() - began
}

/** docker-registry collects while it does not run, and walks over everything. */
async function measureRegistry({ executables }: Bench): Promise<Row> {
  await using folder = await temporaryFolder('bench-garbage')
  const data = join(folder.path, 'data')
  fillRegistry(data)
  const config = join(folder.path, 'config.yml')
  await Bun.write(config, registryConfig(data, 0))
  const began = performance.now()
  const command = [executables['docker-registry'], 'garbage-collect', '--delete-untagged', config]
  await runCommand(command, { cwd: folder.path, secondsMax: 600 })
  return { name: 'docker-registry', value: performance.now() - began, note: 'nothing is served meanwhile' }
}

/** Fills the folder of a docker-registry with images of two small blobs, some of which have no tag. */
function fillRegistry(data: string): void {
  for (let i = 0; i < images; i++) {
    const [config, layer] = [randomBlob(256), randomBlob(256)]
    const bytes = imageManifest(config, [layer], `image ${i}`)
    const digest = sha256(bytes)
    writeRepository(data, `bench/app-${Math.floor(i / 100)}`, {
      blobs: [config, layer],
      manifests: [{ digest, bytes }],
      tags: i % (images / garbage) === 0 ? [] : [[`v${i}`, digest]],
    })
  }
}
