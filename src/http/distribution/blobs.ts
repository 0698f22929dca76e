import type { Digest } from '../../oci/digest.ts'
import { blobResponse } from '../blob-response.ts'
import type { Exchange } from './exchange.ts'

/** end-2: a blob, or a part of it. HEAD reads none of its bytes. */
export function getBlob({
  request,
  registry: { blobs },
  repository,
  path: { digest },
  identity,
  onBlobBody,
}: Exchange<'blob'>): Promise<Response> {
  return blobResponse({ request, blobs, repository, digest, asker: identity, onBlobBody })
}

/** end-10: hides the blob from the repository. */
export async function deleteBlob({
  registry,
  repository,
  path,
  caller,
}: Exchange<'blob'>): Promise<Response> {
  await registry.blobs.delete(caller(), repository, path.digest)
  return new Response(null, { status: 202 })
}

/** A 304 carries the same validator, and `Vary`, as the 200 would. */
export function notModified(digest: Digest, varies = false): Response {
  return new Response(null, {
    status: 304,
    headers: { etag: `"${digest}"`, 'docker-content-digest': digest, ...(varies && { vary: 'Accept' }) },
  })
}
