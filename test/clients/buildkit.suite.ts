import { expect } from 'bun:test'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Descriptor, type Image, makeImage, sha256, writeLayout } from '../../scripts/lib/image.ts'
import { type Case, type Client, type Published, testClients } from './client.ts'
import { containersHome, startBuilder } from './homes.ts'

/**
 * BuildKit, the builder of docker buildx, which pushes images, attestations and caches itself; and layers that are made to
 * be read in ranges (eStargz, zstd:chunked) or are compressed with zstd.
 */

interface Described extends Descriptor {
  annotations?: Record<string, string>
}

const indexType = 'application/vnd.oci.image.index.v1+json'
const cacheConfigType = 'application/vnd.buildkit.cacheconfig.v0'

/** Writes what `build` builds. */
const writeContext = `head -c 1000000 /dev/urandom >random.bin; echo hello >motd
  printf 'FROM scratch\\nCOPY random.bin /\\nCOPY motd /etc/\\n' >Dockerfile`

const build = `build() {
  buildctl build --frontend dockerfile.v0 --local context=. --local dockerfile=. --progress plain "$@" 2>&1
}
push=push=true,registry.insecure=true`

async function reuseCache({ sh, published }: Case, shape: 'image' | 'index'): Promise<void> {
  await sh(`${writeContext}; ${build}
    cache=type=registry,ref=$R/buildkit/cache-${shape}:1,registry.insecure=true
    build --export-cache $cache,mode=max,oci-mediatypes=true,image-manifest=${shape === 'image'}
    buildctl prune --all
    build --no-cache >log
    is "$(grep -c CACHED log)" 0
    buildctl prune --all
    build --import-cache $cache --output type=image,name=$R/buildkit/cached:1,$push | grep CACHED`)
  const { json, mediaType } = await published(`buildkit/cache-${shape}`).manifest('1')
  if (shape === 'image') return expect(json.config.mediaType).toBe(cacheConfigType)
  expect(mediaType).toBe(indexType)
  const types = json.manifests.map((child: Descriptor) => child.mediaType)
  for (const type of [cacheConfigType, 'application/vnd.oci.image.layer.v1.tar+gzip'])
    expect(types).toContain(type)
}

const buildkit: Client = {
  name: 'buildkit',
  tools: ['buildctl', 'buildkitd', 'buildx', 'runc', 'crane'],
  setUp: startBuilder,
  cases: {
    async 'pushes an index of two platforms with provenance'({ sh, published }) {
      await sh(`${writeContext}; ${build}
        build --opt platform=linux/amd64,linux/arm64 --opt attest:provenance=mode=max \
          --output type=image,name=$R/buildkit/attested:1,$push,oci-mediatypes=true`)
      const repository = published('buildkit/attested')
      await repository.expectTags('1')
      const { json, mediaType } = await repository.manifest('1')
      expect(mediaType).toBe(indexType)
      const children: Described[] = json.manifests
      expect(children.map(({ platform }) => `${platform?.os}/${platform?.architecture}`)).toEqual([
        ...['linux/amd64', 'linux/arm64', 'unknown/unknown', 'unknown/unknown'],
      ])
      for (const { annotations, digest } of children.slice(2)) {
        const [layer] = (await repository.manifest(digest)).json.layers
        expect(annotations?.['vnd.docker.reference.type']).toBe('attestation-manifest')
        expect(layer.mediaType).toBe('application/vnd.in-toto+json')
        const statement = JSON.parse(Buffer.from(await repository.blob(layer.digest)).toString())
        expect(statement.predicateType).toContain('slsa.dev/provenance')
      }
      await sh(`N=$R/buildkit/attested
        crane pull --insecure --format oci $N:1 pulled
        crane validate --insecure --remote $N:1
        crane export --insecure $N@${children[1]?.digest} - | tar -x
        cmp motd etc/motd`)
    },
    'reuses a cache that is an image': (at) => reuseCache(at, 'image'),
    'reuses a cache that is an index whose manifests are layers': (at) => reuseCache(at, 'index'),
    async 'buildx builds, pushes, and creates and inspects an index'({ sh, published }) {
      await sh(`${writeContext}; N=$R/buildkit/buildx
        buildx create --name cay --driver remote $BUILDKIT_HOST
        buildx build --builder cay --push --platform linux/amd64,linux/arm64 --metadata-file pushed.json --tag $N:1 .`)
      const repository = published('buildkit/buildx')
      const { digest, json } = await repository.manifest('1')
      const [amd64, arm64]: Descriptor[] = json.manifests
      const raw = await sh(`N=$R/buildkit/buildx
        grep '"containerimage.digest": "${digest}"' pushed.json >&2
        buildx imagetools create --annotation index:note=2 --tag $N:2 $N@${amd64?.digest} $N@${arm64?.digest}
        buildx imagetools inspect $N:1 | grep 'Platform: *linux/arm64' >&2
        buildx rm cay >&2
        buildx imagetools inspect --raw $N:2`)
      expect(sha256(Buffer.from(raw))).toBe((await repository.manifest('2')).digest)
      await repository.expectTags('1', '2')
      await repository.delete('1')
      await repository.expectTags('2')
    },
    async 'pushes eStargz, each chunk of which is read by its range'({ sh, published }) {
      await sh(`${build}; ${manyFiles}
        printf 'FROM scratch\\nCOPY files /files\\n' >Dockerfile
        how=compression=estargz,force-compression=true,oci-mediatypes=true
        build --output type=image,name=$R/buildkit/estargz:1,$push,$how`)
      const repository = published('buildkit/estargz')
      const { json } = await repository.manifest('1')
      const { layers } = json.layers ? json : (await repository.manifest(json.manifests[0].digest)).json
      const [{ digest, size, annotations }] = layers
      // A lazy snapshotter reads the footer, which says where the table of contents is, and then that.
      const footer = Buffer.from(await repository.blob(digest, size - 51, size - 1)).toString('latin1')
      const start = Number.parseInt(/([0-9a-f]{16})STARGZ/.exec(footer)?.[1] ?? '', 16)
      const table = await repository.blob(digest, start, size - 51 - 1)
      const files = await new Bun.Archive(Bun.gunzipSync(Buffer.from(table))).files()
      const entries = await files.get('stargz.index.json')!.bytes()
      expect(sha256(entries)).toBe(annotations['containerd.io/snapshot/stargz/toc.digest'])
      await expectRanges(repository, digest, entries)
    },
  },
}

/** Writes 200 files, and one of several chunks, of random bytes. */
const manyFiles = `mkdir files
  for number in $(seq 200); do head -c $((number * 500)) /dev/urandom >files/$number.bin; done
  head -c 9000000 /dev/urandom >files/large.bin`

/** Reads each chunk of a layer by a range, as its table of contents names them, and compares it with the whole layer. */
async function expectRanges(repository: Published, digest: string, table: Uint8Array): Promise<void> {
  const { entries }: { entries: { offset?: number }[] } = JSON.parse(new TextDecoder().decode(table))
  const offsets = [...new Set(entries.flatMap(({ offset }) => offset ?? []))].sort((a, b) => a - b)
  expect(offsets.length).toBeGreaterThan(200)
  const whole = await repository.blob(digest)
  for (const [number, end] of offsets.slice(1).entries()) {
    const first = offsets[number]!
    const chunk = await repository.blob(digest, first, end - 1)
    expect(Buffer.from(chunk).equals(whole.subarray(first, end))).toBe(true)
  }
}

/** Pushes an image whose layers skopeo compresses, and compares what is pulled. Returns its first layer. */
async function pushCompressed(at: Case, image: Image, format: string, name: string): Promise<Described> {
  await writeLayout(join(at.folder, 'image'), image, '1')
  await at.sh(`N=docker://$R/zstd/${name}:1
    skopeo copy --dest-tls-verify=false --dest-compress-format ${format} oci:image:1 $N
    skopeo copy --src-tls-verify=false $N oci:pulled:1`)
  return await compareZstd(at, image, name)
}

/** Compares the image in the layout `pulled`, whose layers are compressed with zstd. */
async function compareZstd({ folder, published }: Case, image: Image, name: string): Promise<Described> {
  const { json } = await published(`zstd/${name}`).manifest('1')
  // zstd:chunked keeps only some of the zeros at the end of an archive.
  const hash = (archive: Uint8Array) =>
    sha256(archive.subarray(0, archive.findLastIndex((byte) => byte !== 0) + 1))
  const hashes: string[] = []
  for (const { mediaType, digest } of json.layers) {
    expect(mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd')
    const bytes = await Bun.file(join(folder, 'pulled/blobs', digest.replace(':', '/'))).bytes()
    hashes.push(hash(Bun.zstdDecompressSync(bytes)))
  }
  expect(hashes).toEqual(image.layers.map(hash))
  return json.layers[0]
}

const zstd: Client = {
  name: 'zstd',
  tools: ['skopeo', 'podman'],
  setUp: containersHome,
  cases: {
    'is pushed and pulled by skopeo': (at) => pushCompressed(at, at.samples.arm64, 'zstd', 'skopeo'),
    async 'is pushed and pulled by podman'(at) {
      await at.sh(`N=$R/zstd/podman:1; ln -s $IMAGE pushed
        podman pull --quiet oci:pushed:1
        podman push --tls-verify=false --format oci --compression-format zstd $ID $N
        podman rmi --all --force
        is $(podman pull --quiet --tls-verify=false $N) $ID
        podman rmi --all --force
        skopeo copy --src-tls-verify=false docker://$N oci:pulled:1`)
      await compareZstd(at, at.samples.amd64, 'podman')
    },
    async 'chunked is pushed and pulled, and each chunk is read by its range'(at) {
      const files = Object.fromEntries(
        Array.from({ length: 300 }, (_, number) => [`${number}.bin`, randomBytes(100 + number * 40)]),
      )
      const image = await makeImage({ files: [files] })
      const { digest, annotations } = await pushCompressed(at, image, 'zstd:chunked', 'chunked')
      const repository = at.published('zstd/chunked')
      const position = annotations?.['io.containers.zstd-chunked.manifest-position'] ?? ''
      const [offset = Number.NaN, length = Number.NaN] = position.split(':').map(Number)
      const table = await repository.blob(digest, offset, offset + length - 1)
      expect(sha256(table)).toBe(annotations?.['io.containers.zstd-chunked.manifest-checksum'] ?? '')
      await expectRanges(repository, digest, Bun.zstdDecompressSync(table))
    },
  },
}

testClients(buildkit, zstd)
