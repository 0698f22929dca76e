import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { packTar, unpackTar } from 'modern-tar/fs'
import { BUNDLE_FILE, type Bundle, readBundle } from './bundle.ts'
import type { TransferTarget } from './copy.ts'
import { DockerArchive, isDockerArchive } from './docker-archive.ts'
import { isOciLayout, OciLayout, OciLayoutTarget, repositoryIn } from './oci-layout.ts'
import { isRegistryFolder, RegistryFolder } from './registry-folder.ts'
import { type ImageSource, TransferError } from './source.ts'

/** Images in files, to copy from. */
export interface OpenArchive extends AsyncDisposable {
  source: ImageSource
  /** Throws a TransferError if the images need an earlier export that the target does not have. */
  requireComplete(target: TransferTarget): Promise<void>
}

/**
 * Opens images in files: a folder, or an archive, which is unpacked beside it.
 * @throws TransferError when it is neither an OCI layout, nor of `docker save`, nor a folder of registry:2
 */
export async function openArchive(path: string, name: string | undefined): Promise<OpenArchive> {
  await using resources = new AsyncDisposableStack()
  const folder = (await stat(path)).isDirectory() ? path : await unpack(path, resources)
  const source = await openFolder(folder, name)
  if (source === undefined) {
    throw new TransferError(
      `${path} is not an OCI layout, an archive of docker save, or a data folder of registry:2 (with docker/registry/v2)`,
    )
  }
  const kept = resources.move()
  return {
    source,
    requireComplete: async (target) => {
      if (source instanceof OciLayout) await source.requireComplete(target)
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

async function openFolder(folder: string, name: string | undefined): Promise<ImageSource | undefined> {
  if (isOciLayout(folder)) return await OciLayout.open(folder, name && (repositoryIn(name) || name))
  if (isDockerArchive(folder)) return await DockerArchive.open(folder, name)
  return isRegistryFolder(folder) ? new RegistryFolder(folder) : undefined
}

/**
 * Writes an OCI layout: into a folder, or as an archive if the path ends with `.tar`.
 *
 * @param since an earlier layout: the blobs that it, and those before it, have are left out
 */
export async function exportLayout<T>(
  path: string,
  since: string | undefined,
  fill: (target: OciLayoutTarget) => Promise<T>,
): Promise<T> {
  const earlier = since === undefined ? undefined : await earlierThan(since)
  if (!path.endsWith('.tar')) {
    const target = await OciLayoutTarget.open(path, earlier)
    return await fill(target).finally(() => target.finish())
  }
  const folder = await mkdtemp(join(dirname(path), '.cay-export-'))
  try {
    const target = await OciLayoutTarget.open(folder, earlier)
    const filled = await fill(target)
    await target.finish()
    await pipeline(packTar(folder), createWriteStream(`${path}.part`))
    await rename(`${path}.part`, path)
    return filled
  } finally {
    await rm(folder, { recursive: true })
    await rm(`${path}.part`, { force: true })
  }
}

/** Reads which blobs an earlier export, and those before it, have. */
async function earlierThan(path: string): Promise<Pick<Bundle, 'since' | 'earlier'>> {
  await using resources = new AsyncDisposableStack()
  const isFolder = (await stat(path)).isDirectory()
  const folder = isFolder ? path : await unpack(path, resources, (name) => name === BUNDLE_FILE)
  const bundle = await readBundle(folder)
  if (bundle === undefined)
    throw new TransferError(`${path} was not made by cay export: it has no ${BUNDLE_FILE}`)
  return { since: basename(path), earlier: { ...bundle.earlier, ...bundle.blobs } }
}

async function unpack(
  path: string,
  resources: AsyncDisposableStack,
  isWanted: (name: string) => boolean = () => true,
): Promise<string> {
  const folder = await mkdtemp(join(dirname(path), '.cay-import-'))
  resources.defer(() => rm(folder, { recursive: true }))
  try {
    const options = { strict: true, dmode: 0o700, fmode: 0o600 }
    const filter = ({ name }: { name: string }) => isWanted(name.replace(/^\.\//, ''))
    await pipeline(createReadStream(path), unpackTar(folder, { ...options, filter }))
  } catch (cause) {
    throw new TransferError(`${path} is not a tar archive: ${(cause as Error).message}`, { cause })
  }
  return folder
}
