import type { Digest } from '../../oci/digest.ts'
import { blobResponse } from '../blob-response.ts'
import type { Exchange } from './exchange.ts'

/** end-2: returns a blob, or a range of it. HEAD does not read it. */
export function getBlob({
  request,
  registry: { blobs },
  repository,
  path: { digest },
  identity,
  onBlobBody,
}: Exchange<'blob'>): Promise<Response> {
  return blobResponse({ request, blobs, repository, digest, principal: identity, onBlobBody })
}

/** end-10: deletes the blob from the repository; it can be restored. */
export async function deleteBlob({
  registry,
  repository,
  path,
  caller,
}: Exchange<'blob'>): Promise<Response> {
  await registry.blobs.delete(caller(), repository, path.digest)
  return new Response(null, { status: 202 })
}

/** Returns a 304 with the validator and `Vary` of the 200 (RFC 9110, 15.4.5). */
export function notModified(digest: Digest, varies = false): Response {
  return new Response(null, {
    status: 304,
    headers: { etag: `"${digest}"`, 'docker-content-digest': digest, ...(varies && { vary: 'Accept' }) },
  })
}
