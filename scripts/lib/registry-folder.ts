import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

interface Stored {
  digest: string
  bytes: Uint8Array
}

interface RepositoryContent {
  blobs: Iterable<Stored>
  manifests: Iterable<Stored>
  /** The digest of each tag. */
  tags: Iterable<readonly [tag: string, digest: string]>
}

/** Writes content into the data folder of a docker-registry as its file system driver does, which is faster than to push it. */
export function writeRepository(folder: string, repository: string, content: RepositoryContent): void {
  const own = join(folder, 'docker/registry/v2/repositories', repository)
  for (const { digest, bytes } of [...content.blobs, ...content.manifests])
    write(registryBlob(folder, digest), bytes)
  for (const { digest } of content.blobs) link(join(own, '_layers', pathOf(digest)), digest)
  for (const { digest } of content.manifests) link(join(own, '_manifests/revisions', pathOf(digest)), digest)
  for (const [tag, digest] of content.tags) {
    link(join(own, '_manifests/tags', tag, 'current'), digest)
    link(join(own, '_manifests/tags', tag, 'index', pathOf(digest)), digest)
  }
}

/** Returns the path of the file of a blob in such a folder. */
export function registryBlob(folder: string, digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(folder, 'docker/registry/v2/blobs', algorithm, hex.slice(0, 2), hex, 'data')
}

function pathOf(digest: string): string {
  return digest.replace(':', '/')
}

function link(folder: string, digest: string): void {
  write(join(folder, 'link'), digest)
}

function write(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}
