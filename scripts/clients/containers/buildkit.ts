import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { sha256 } from '../../lib/image.ts'
import { bringTools } from '../../toolchain/toolchain.ts'
import { readEstargz } from '../chunked-layer.ts'
import { type CaseContext, type Client, startDaemon } from '../client.ts'
import { Published } from '../published.ts'

const indexType = 'application/vnd.oci.image.index.v1+json'
const cacheConfigType = 'application/vnd.buildkit.cacheconfig.v0'

interface Descriptor {
  mediaType: string
  digest: string
  size: number
  platform?: { os: string; architecture: string }
  annotations?: Record<string, string>
}

/** buildkit: the builder of docker buildx. It pushes images, attestations and caches itself. */
export const buildkit: Client = {
  name: 'buildkit',
  tools: ['buildctl', 'buildkitd', 'buildx', 'runc', 'crane'],
  setUp: startBuilder,
  cases: {
    async 'an index of two platforms with provenance'(context) {
      const { registry, folder, run } = context
      await writeContext(folder)
      const name = `${registry}/buildkit/attested:1`
      const platforms = ['--opt', 'platform=linux/amd64,linux/arm64', '--opt', 'attest:provenance=mode=max']
      await build(context, ...platforms, ...toRegistry(name, 'oci-mediatypes=true'))
      const published = new Published(registry, 'buildkit/attested')
      await published.expectTags('1')
      const { json, mediaType, digest } = await published.manifest('1')
      equal(mediaType, indexType)
      const children: Descriptor[] = json.manifests
      deepEqual(
        children.map(({ platform }) => `${platform?.os}/${platform?.architecture}`),
        ['linux/amd64', 'linux/arm64', 'unknown/unknown', 'unknown/unknown'],
      )
      for (const { annotations, digest } of children.slice(2)) {
        const attestation = await published.manifest(digest)
        equal(annotations?.['vnd.docker.reference.type'], 'attestation-manifest')
        equal(attestation.json.layers[0].mediaType, 'application/vnd.in-toto+json')
        const statement = JSON.parse(
          Buffer.from(await published.blob(attestation.json.layers[0].digest)).toString(),
        )
        match(statement.predicateType, /slsa\.dev\/provenance/)
      }
      await run`crane pull --insecure --format oci ${name} pulled`
      await run`crane validate --insecure --remote ${name}`
      await run`sh -c ${'crane export --insecure "$1" - | tar --extract'} sh ${name}@${children[1]?.digest ?? ''}`
      await run`cmp motd ${join('etc', 'motd')}`
      await published.delete(digest)
    },
    'a cache as an image': (context) => reuseCache(context, 'image', 'true'),
    'a cache as an index whose manifests are layers': (context) => reuseCache(context, 'index', 'false'),
    async 'eStargz: each file by its ranges'(context) {
      const { registry, folder } = context
      const files = new Map<string, Uint8Array>()
      for (let number = 0; number < 200; number++)
        files.set(`files/${number}.bin`, randomBytes(100 + number * 500))
      files.set('files/large.bin', randomBytes(9_000_000))
      for (const [path, bytes] of files) await Bun.write(join(folder, path), bytes)
      await Bun.write(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY files /files\n')
      const compression = ['compression=estargz', 'force-compression=true', 'oci-mediatypes=true']
      await build(context, ...toRegistry(`${registry}/buildkit/estargz:1`, ...compression))
      const published = new Published(registry, 'buildkit/estargz')
      const { json } = await published.manifest('1')
      const manifest = json.layers ? json : (await published.manifest(json.manifests[0].digest)).json
      const [layer] = manifest.layers
      const read = (first: number, last: number) => published.blob(layer.digest, first, last)
      const found = await readEstargz({ ...layer, read })
      for (const [path, bytes] of files) equal(sha256(found.get(path)!), sha256(bytes))
      await published.delete('1')
    },
    async 'buildx: build and push, imagetools create and inspect'({ registry, folder, run }) {
      await writeContext(folder)
      await run`buildx create --name cay --driver remote unix://${join(folder, '..')}/buildkit.sock`
      const name = `${registry}/buildkit/buildx`
      const build = ['buildx', 'build', '--builder', 'cay', '--push', '--platform', 'linux/amd64,linux/arm64']
      await run`${build} --metadata-file pushed.json --tag ${name}:1 .`
      const published = new Published(registry, 'buildkit/buildx')
      const { digest, json } = await published.manifest('1')
      equal((await Bun.file(join(folder, 'pushed.json')).json())['containerimage.digest'], digest)
      const [amd64, arm64]: Descriptor[] = json.manifests
      const children = [amd64, arm64].map((child) => `${name}@${child?.digest}`)
      await run`buildx imagetools create --annotation index:note=2 --tag ${name}:2 ${children}`
      await published.expectTags('1', '2')
      const raw = await run`buildx imagetools inspect --raw ${name}:2`
      equal(sha256(Buffer.from(raw)), (await published.manifest('2')).digest)
      match(await run`buildx imagetools inspect ${name}:1`, /Platform: +linux\/arm64/)
      await run`buildx rm cay`
      await published.delete('1')
      await published.expectTags('2')
    },
  },
}

/** Starts a builder below `home` that needs no network. */
async function startBuilder(home: string) {
  const { buildkitd = '' } = await bringTools(['buildkitd'])
  const host = `unix://${home}/buildkit.sock`
  const folders = [
    '--root',
    `${home}/root`,
    '--otel-socket-path',
    `${home}/otel.sock`,
    '--config',
    `${home}/none.toml`,
  ]
  await Bun.write(`${home}/none.toml`, '')
  const worker = ['--containerd-worker=false', '--oci-worker-snapshotter=native', '--oci-worker-net=host']
  const tearDown = await startDaemon(
    [buildkitd, '--addr', host, ...folders, ...worker],
    home,
    'running server on',
  )
  return { env: { BUILDKIT_HOST: host }, tearDown }
}

/** Builds the `Dockerfile` in the case's folder, and returns the builder's output. */
function build({ run }: CaseContext, ...flags: string[]): Promise<string> {
  const context = ['--local', 'context=.', '--local', 'dockerfile=.', '--progress', 'plain']
  const command = ['buildctl', 'build', '--frontend', 'dockerfile.v0', ...context, ...flags]
  return run`sh -c ${'"$@" 2>&1'} sh ${command}`
}

function toRegistry(name: string, ...options: string[]): string[] {
  return [
    '--output',
    ['type=image', `name=${name}`, 'push=true', 'registry.insecure=true', ...options].join(','),
  ]
}

async function writeContext(folder: string): Promise<void> {
  await Bun.write(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY random.bin /\nCOPY motd /etc/\n')
  await Bun.write(join(folder, 'random.bin'), randomBytes(1_000_000))
  await Bun.write(join(folder, 'motd'), 'hello\n')
}

async function reuseCache(context: CaseContext, shape: 'image' | 'index', asImage: string): Promise<void> {
  const { registry, folder, run } = context
  await writeContext(folder)
  const cache = `type=registry,ref=${registry}/buildkit/cache-${shape}:1,registry.insecure=true`
  await build(context, '--export-cache', `${cache},mode=max,oci-mediatypes=true,image-manifest=${asImage}`)
  const published = new Published(registry, `buildkit/cache-${shape}`)
  const { json, mediaType } = await published.manifest('1')
  if (shape === 'image') {
    equal(json.config.mediaType, cacheConfigType)
  } else {
    equal(mediaType, indexType)
    const types = json.manifests.map((child: Descriptor) => child.mediaType)
    ok(types.includes(cacheConfigType) && types.includes('application/vnd.oci.image.layer.v1.tar+gzip'))
  }
  await run`buildctl prune --all`
  const cached = /CACHED/
  ok(!cached.test(await build(context, '--no-cache')))
  await run`buildctl prune --all`
  match(await build(context, '--import-cache', cache, ...toRegistry(`${registry}/buildkit/cached:1`)), cached)
  await published.delete('1')
}
