import { readParts } from '../oci/manifest-parts.ts'

/** Returns the media type of a manifest whose storage does not record it, from its content. */
export function mediaTypeOf(bytes: Uint8Array): string {
  const { document, children } = readParts(bytes)
  if (typeof document.mediaType === 'string') return document.mediaType
  if (document.schemaVersion === 1) {
    return `application/vnd.docker.distribution.manifest.v1+${'signatures' in document ? 'prettyjws' : 'json'}`
  }
  const kind = children.length > 0 || 'manifests' in document ? 'index' : 'manifest'
  return `application/vnd.oci.image.${kind}.v1+json`
}
