import { matchesPattern, parseRepositoryPattern } from '../domain/repository-pattern.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { BlobLinks } from '../transfer/blob-links.ts'
import { type TransferOptions, type Transferred, transfer } from '../transfer/copy.ts'
import { exportLayout, openArchive } from '../transfer/files.ts'
import { RegistryClient } from '../transfer/registry-client.ts'
import { openRemoteRegistry, type RemoteRegistry } from '../transfer/remote-registry.ts'
import type { ImageSource, Listed, Send } from '../transfer/source.ts'

export type { Listed, RemoteRegistry, Send, Transferred }

type Progress = Pick<TransferOptions, 'progress' | 'signal'>

/**
 * Imports an OCI layout, an archive of `docker save`, or the data folder of registry:2 into a registry.
 *
 * @param name where to import to; by default the names in the source
 * @param options.data the data folder of that registry, if this user can write to it: files are then linked where possible
 * @throws TransferError when the source is none of these, or continues a bundle that was not imported
 */
export async function importImages(
  path: string,
  name: string | undefined,
  send: Send,
  { data, ...options }: Progress & { data?: string | undefined } = {},
): Promise<Transferred> {
  await using archive = await openArchive(path, name)
  const links = data === undefined ? undefined : new BlobLinks(data, send)
  const target = new RegistryClient(send, undefined, links)
  await archive.requireComplete(target)
  return await transfer({ ...options, source: archive.source, target, rename: same })
}

/**
 * Exports images with their referrers to an OCI layout: a folder, or an archive if the path ends with `.tar`.
 *
 * @param since an earlier export, whose blobs are left out
 * @param images REPOSITORY for all its tags, REPOSITORY:TAG or REPOSITORY@DIGEST
 */
export async function exportImages(
  path: string,
  images: Listed[],
  send: Send,
  { since, ...options }: Progress & { since?: string | undefined } = {},
): Promise<Transferred> {
  const registry = new RegistryClient(send)
  const list = async function* () {
    for (const image of images) {
      if (image.reference !== '') yield image
      else yield* new RegistryClient(send, [image.repository]).list()
    }
  }
  const listed: ImageSource = {
    list,
    manifest: (...named) => registry.manifest(...named),
    blob: (...named) => registry.blob(...named),
    referrers: (...named) => registry.referrers(...named),
  }
  return await exportLayout(path, since, (target) =>
    transfer({ ...options, source: listed, target, rename: same }),
  )
}

export interface Migration extends Progress {
  /** Patterns of the repositories to copy; all by default. */
  patterns: string[]
  /** Repositories by name, for a registry without a catalog. */
  repositories: string[]
  /** The prefix of the names in this registry, such as `old/`. */
  prefix: string
}

/** Copies a live registry: tags, digests, referrers and signatures. */
export async function migrate(
  remote: RemoteRegistry,
  send: Send,
  { patterns, repositories, prefix, ...options }: Migration,
): Promise<Transferred> {
  const parsed = patterns.map(parseRepositoryPattern)
  const isMeant = (name: string) =>
    parsed.length === 0 || parsed.some((pattern) => matchesPattern(pattern, name as RepositoryName))
  const source = new RegistryClient(
    openRemoteRegistry(remote),
    repositories.length > 0 ? repositories : isMeant,
  )
  return await transfer({
    ...options,
    source,
    target: new RegistryClient(send),
    rename: (name) => `${prefix}${name}`,
  })
}

function same(repository: string): string {
  return repository
}
