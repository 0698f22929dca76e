import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import PQueue from 'p-queue'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { readParts } from '../oci/manifest-parts.ts'
import type { TransferTarget } from './copy.ts'
import { readJson } from './manifest-file.ts'
import { type ImageSource, TransferError } from './source.ts'

/** The file of an OCI layout that lists the blobs that it contains, and those that earlier exports contain. */
export const BUNDLE_FILE = 'cay-bundle.json'

const FORMAT = 1

/** The repository of each blob, by digest. */
const blobsModel = t.Record(t.String(), t.String())

const bundleModel = t.Object({
  format: t.Literal(FORMAT),
  /** The name of the export that this one continues. */
  since: t.Optional(t.String()),
  blobs: blobsModel,
  /** The blobs of that export and those before it. */
  earlier: blobsModel,
})

export type Bundle = Static<typeof bundleModel>

/** How many blobs are asked for at the same time. */
const ASKED_AT_ONCE = 8

export function emptyBundle(): Bundle {
  return { format: FORMAT, blobs: {}, earlier: {} }
}

/**
 * Reads the bundle file of a layout. Returns undefined if the layout was not created by `cay export`.
 * @throws TransferError when its format is unknown, because another version of cay created it
 */
export async function readBundle(folder: string): Promise<Bundle | undefined> {
  const path = join(folder, BUNDLE_FILE)
  if (!existsSync(path)) return undefined
  const bundle = await readJson(path)
  if (Value.Check(bundleModel, bundle)) return bundle
  throw new TransferError(`${BUNDLE_FILE} has a format that this cay does not know: export the images again`)
}

/**
 * Checks, before anything is copied, that the target has the blobs that a bundle leaves to earlier ones.
 *
 * @param hasFile whether the bundle itself has a blob
 * @param rename returns the repository of the target
 * @throws TransferError when an earlier bundle was not imported
 */
export async function requireEarlier(
  bundle: Bundle,
  source: ImageSource,
  target: TransferTarget,
  { hasFile, rename }: { hasFile: (digest: Digest) => boolean; rename: (repository: string) => string },
): Promise<void> {
  const queue = new PQueue({ concurrency: ASKED_AT_ONCE })
  const missing: Digest[] = []
  const seen = new Set<string>()
  const ask = async (repository: string, digest: Digest, earlier: string) => {
    if (await target.hasBlob(rename(repository), digest)) return
    if (!(await target.hasBlob(rename(earlier), digest))) missing.push(digest)
  }
  for await (const { repository, digest } of neededBlobs(source)) {
    const earlier = bundle.earlier[digest]
    if (earlier === undefined || seen.has(digest) || hasFile(digest)) continue
    seen.add(digest)
    await queue.onSizeLessThan(ASKED_AT_ONCE)
    void queue.add(() => ask(repository, digest, earlier))
  }
  await queue.onIdle()
  if (missing.length === 0) return
  throw new TransferError(
    `this export continues ${bundle.since ?? 'another one'}, and ${missing.length} of its blobs are not in the registry, ` +
      `such as ${missing[0]}: import the earlier exports first, in order; nothing was imported`,
  )
}

/** Yields the blobs that the manifests of a layout refer to, with those of the entries of its indexes. */
async function* neededBlobs(source: ImageSource): AsyncIterable<{ repository: string; digest: Digest }> {
  const seen = new Set<string>()
  for await (const { repository, reference } of source.list()) {
    for (const waiting = [reference]; waiting.length > 0; ) {
      const next = waiting.pop() ?? ''
      const document = seen.has(next) ? undefined : await source.manifest(repository, next)
      if (next.includes(':')) seen.add(next)
      if (document === undefined) continue
      const { children, config, layers } = readParts(document.bytes)
      waiting.push(...children.map(({ digest }) => digest))
      for (const part of config ? [config, ...layers] : layers)
        yield { repository, digest: parseDigest(part.digest) }
    }
  }
}
