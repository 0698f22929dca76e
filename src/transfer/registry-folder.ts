import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { algorithmOf, type Digest, hexOf, tryParseDigest } from '../oci/digest.ts'
import { openBlob, readManifest, readText } from './manifest-file.ts'
import type { Document, ImageSource, Listed } from './source.ts'

/** The data folder of a distribution registry (registry:2 and registry:3), which is only read. */
export class RegistryFolder implements ImageSource {
  private readonly repositories: string
  private readonly blobs: string

  /** @param folder the one that contains `docker/registry/v2` */
  constructor(folder: string) {
    const root = join(folder, ROOT)
    this.repositories = join(root, 'repositories')
    this.blobs = join(root, 'blobs')
  }

  async *list(): AsyncIterable<Listed> {
    for await (const repository of this.names('')) {
      const manifests = join(this.repositories, repository, '_manifests')
      const tagged = new Set<string>()
      for (const reference of await namesIn(join(manifests, 'tags'))) {
        tagged.add(await this.digestOfTag(repository, reference).catch(() => ''))
        yield { repository, reference }
      }
      for (const algorithm of await namesIn(join(manifests, 'revisions'))) {
        for (const hex of await namesIn(join(manifests, 'revisions', algorithm))) {
          if (
            !tagged.has(`${algorithm}:${hex}`) &&
            existsSync(join(manifests, 'revisions', algorithm, hex, 'link'))
          ) {
            yield { repository, reference: `${algorithm}:${hex}` }
          }
        }
      }
    }
  }

  async manifest(repository: string, reference: string): Promise<Document | undefined> {
    const manifests = join(this.repositories, repository, '_manifests')
    const isDigest = reference.includes(':')
    if (isDigest && !existsSync(join(manifests, 'revisions', ...reference.split(':'), 'link')))
      return undefined
    const digest = isDigest ? reference : await this.digestOfTag(repository, reference)
    const named = tryParseDigest(digest)
    return named && (await readManifest(this.fileOf(named), named))
  }

  /** Returns what the file of a tag contains; empty if there is none. */
  private async digestOfTag(repository: string, tag: string): Promise<string> {
    const link = join(this.repositories, repository, '_manifests', 'tags', tag, 'current', 'link')
    return existsSync(link) ? (await readText(link, LINK_BYTES_MAX)).trim() : ''
  }

  async blob(_: string, digest: Digest): Promise<ReadableStream<Uint8Array> | undefined> {
    return await openBlob(this.fileOf(digest))
  }

  /** Lists nothing, because referrers are in the list as untagged manifests. */
  async referrers(): Promise<string[]> {
    return []
  }

  /** Yields the repositories below a folder: names can have any number of components. */
  private async *names(parent: string, depth = 0): AsyncIterable<string> {
    if (depth > COMPONENTS_MAX) return
    for (const name of await namesIn(join(this.repositories, parent))) {
      if (name.startsWith('_')) continue
      const path = parent === '' ? name : `${parent}/${name}`
      if (existsSync(join(this.repositories, path, '_manifests'))) yield path
      yield* this.names(path, depth + 1)
    }
  }

  fileOf(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.blobs, algorithmOf(digest), hex.slice(0, 2), hex, 'data')
  }
}

/** The file of a tag or revision contains only a digest. */
const LINK_BYTES_MAX = 1024

/** How deep repositories are searched for: the components of the longest possible name. */
const COMPONENTS_MAX = 128

const ROOT = join('docker', 'registry', 'v2')

/** Reports whether a folder is the data folder of a distribution registry. */
export function isRegistryFolder(folder: string): boolean {
  return existsSync(join(folder, ROOT, 'repositories'))
}

async function namesIn(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return []
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}
