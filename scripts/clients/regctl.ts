import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type Run, wordsOf } from '../lib/command.ts'
import { makeIndex, makePlatforms, writeLayout } from '../lib/image.ts'
import type { CaseContext, Client } from './client.ts'
import { Published } from './published.ts'

const types = { artifact: 'application/vnd.example.artifact', file: 'application/vnd.example.file' }

/** regctl: regclient's command. It uses plain HTTP only for registries that are configured so. */
export const regctl: Client = {
  name: 'regctl',
  tools: ['regctl'],
  cases: {
    async 'image copy with referrers and digest tags'(context) {
      const { registry, run } = context
      const regctl = regctlFor(context)
      const digest = await pushIndex(context, 'regctl/source')
      const source = new Published(registry, 'regctl/source')
      await Bun.write(join(context.folder, 'note.txt'), 'a note\n')
      const put = ['artifact', 'put', '--artifact-type', types.artifact, '--file', 'note.txt']
      await regctl`${put} --subject ${registry}/regctl/source:1`
      const companion = `${digest.replace(':', '-')}.sig`
      await regctl`${put} ${registry}/regctl/source:${companion}`
      await source.expectTags('1', companion)
      const target = `${registry}/regctl/target`
      await regctl`image copy --referrers --digest-tags ${registry}/regctl/source:1 ${target}:1`
      const copied = new Published(registry, 'regctl/target')
      await copied.expectTags('1', companion)
      deepEqual(await copied.referrers(digest), await source.referrers(digest))
      equal((await copied.referrers(digest, types.artifact)).length, 1)
      match(await regctl`artifact tree --digest-tags ${target}:1`, /vnd\.example\.artifact/)
      await regctl`image copy ${target}:1 ocidir://pulled:1`
      await run`diff --recursive pushed/blobs pulled/blobs`
    },
    async 'artifact put, list, tree and get'(context) {
      const { registry, folder, run } = context
      const regctl = regctlFor(context)
      const name = `${registry}/regctl/artifact`
      for (const pulled of ['pulled', 'noted']) await mkdir(join(folder, pulled))
      await Bun.write(join(folder, 'file.bin'), randomBytes(300_000))
      await Bun.write(join(folder, 'note.txt'), 'a note\n')
      const file = ['--file', 'file.bin', '--file-media-type', types.file, '--file-title']
      await regctl`artifact put --artifact-type ${types.artifact} ${file} ${name}:1`
      const note = ['--file', 'note.txt', '--file-media-type', 'text/plain', '--file-title']
      await regctl`artifact put --artifact-type application/vnd.example.note ${note} --subject ${name}:1`
      const listed = await regctl`artifact list ${name}:1 --format ${'{{json .}}'}`
      deepEqual(
        JSON.parse(listed).descriptors.map((found: { artifactType: string }) => found.artifactType),
        ['application/vnd.example.note'],
      )
      match(await regctl`artifact tree ${name}:1`, /vnd\.example\.note/)
      await regctl`artifact get --output pulled ${name}:1`
      await run`cmp file.bin pulled/file.bin`
      const filter = ['--filter-artifact-type', 'application/vnd.example.note', '--output', 'noted']
      await regctl`artifact get --subject ${name}:1 ${filter}`
      await run`cmp note.txt noted/note.txt`
    },
    async 'blobs in chunks'(context) {
      const { folder, run, registry } = context
      await Bun.write(join(folder, 'file.bin'), randomBytes(5_000_000))
      const command = 'regctl blob put "$1" --host "$2" < file.bin'
      const host = `reg=${registry},tls=disabled,blobMax=1000000,blobChunk=700001`
      const digest = (await run`sh -c ${command} sh ${registry}/regctl/chunks ${host}`).trim()
      const get = 'regctl blob get "$1" "$2" --host "$3" > pulled.bin'
      await run`sh -c ${get} sh ${registry}/regctl/chunks ${digest} ${host}`
      await run`cmp file.bin pulled.bin`
    },
    /** regctl mounts, uploads and deletes layers that it creates. */
    async 'image mod to zstd'(context) {
      const { registry, run } = context
      const regctl = regctlFor(context)
      await pushIndex(context, 'regctl/gzip')
      const [gzip, zstd] = [`${registry}/regctl/gzip:1`, `${registry}/regctl/gzip:zstd`]
      await regctl`image mod ${gzip} --layer-compress zstd --create ${zstd}`
      const { json } = await new Published(registry, 'regctl/gzip').manifest('zstd')
      const child = await new Published(registry, 'regctl/gzip').manifest(json.manifests[0].digest)
      equal(child.json.layers[0].mediaType, 'application/vnd.oci.image.layer.v1.tar+zstd')
      await regctl`image mod ${zstd} --layer-compress none --create ${registry}/regctl/gzip:none`
      await regctl`image mod ${gzip} --layer-compress none --create ${registry}/regctl/gzip:plain`
      for (const tag of ['none', 'plain'])
        await regctl`image copy ${registry}/regctl/gzip:${tag} ocidir://${tag}:1`
      await run`diff --recursive none/blobs plain/blobs`
    },
    async 'image mod to sha512'(context) {
      const { registry, run } = context
      const regctl = regctlFor(context)
      await pushIndex(context, 'regctl/sha256')
      const [from, to] = [`${registry}/regctl/sha256:1`, `${registry}/regctl/sha512:1`]
      await regctl`image mod ${from} --digest-algo sha512 --create ${to}`
      const published = new Published(registry, 'regctl/sha512')
      const { digest, json } = await published.manifest('1')
      for (const name of [digest, ...json.manifests.map((child: { digest: string }) => child.digest)])
        match(name, /^sha512:/)
      const again = `${registry}/regctl/again:1`
      await regctl`image copy ${to} ocidir://first:1`
      await regctl`image copy ocidir://first:1 ${again}`
      await regctl`image copy ${again} ocidir://second:1`
      await run`diff --recursive first/blobs/sha512 second/blobs/sha512`
    },
    async 'tag rm leaves the manifest'(context) {
      const { registry } = context
      const regctl = regctlFor(context)
      const digest = await pushIndex(context, 'regctl/tags')
      await regctl`image copy ${registry}/regctl/tags:1 ${registry}/regctl/tags:2`
      await regctl`tag rm ${registry}/regctl/tags:1`
      const published = new Published(registry, 'regctl/tags')
      await published.expectTags('2')
      equal((await published.manifest('2')).digest, digest)
      deepEqual((await regctl`tag ls ${registry}/regctl/tags`).trim(), '2')
    },
    async 'manifest delete'(context) {
      const { registry } = context
      const regctl = regctlFor(context)
      const digest = await pushIndex(context, 'regctl/deleted')
      match(await regctl`repo ls ${registry}`, /^regctl\/deleted$/m)
      await rejects(regctl`manifest delete ${registry}/regctl/deleted:1`, /digest/)
      await regctl`manifest delete --referrers ${registry}/regctl/deleted@${digest}`
      await new Published(registry, 'regctl/deleted').expectGone('1', digest)
      await rejects(regctl`manifest head ${registry}/regctl/deleted:1`, /not found|404/)
    },
  },
}

/** Runs regctl with plain HTTP for the registry. */
function regctlFor({ registry, run }: CaseContext, ...options: string[]) {
  const host = ['--host', [`reg=${registry}`, 'tls=disabled', ...options].join(',')]
  return (...command: Parameters<Run>) => run`regctl ${wordsOf(...command)} ${host}`
}

/** Pushes an index of two images from a layout, and returns its digest. */
async function pushIndex(context: CaseContext, repository: string): Promise<string> {
  const images = await makePlatforms()
  const index = makeIndex(images)
  await writeLayout(join(context.folder, 'pushed'), index, '1')
  await regctlFor(context)`image copy ocidir://pushed:1 ${context.registry}/${repository}:1`
  return index.descriptor.digest
}
