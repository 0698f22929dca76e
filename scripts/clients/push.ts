import type { Content } from '../lib/image.ts'

/** Pushes content as the specification says, with nothing but HTTP: each blob, then manifests, what is referred to first. */
export async function pushContent(
  registry: string,
  repository: string,
  tag: string,
  content: Content,
): Promise<void> {
  const base = `http://${registry}/v2/${repository}`
  const manifests = manifestsOf(content)
  for (const [digest, bytes] of content.blobs) if (!manifests.has(digest)) await pushBlob(base, digest, bytes)
  for (const [digest, mediaType] of manifests) {
    const reference = digest === content.descriptor.digest ? tag : digest
    const body = content.blobs.get(digest) ?? new Uint8Array()
    const headers = { 'content-type': mediaType }
    await expectCreated(await fetch(`${base}/manifests/${reference}`, { method: 'PUT', headers, body }))
  }
}

async function pushBlob(base: string, digest: string, bytes: Uint8Array): Promise<void> {
  const started = await fetch(`${base}/blobs/uploads/`, { method: 'POST' })
  const location = new URL(started.headers.get('location') ?? '', base)
  location.searchParams.set('digest', digest)
  await expectCreated(await fetch(location, { method: 'PUT', body: bytes }))
}

async function expectCreated(response: Response): Promise<void> {
  if (response.status !== 201) throw new Error(`${response.url}: ${response.status} ${await response.text()}`)
}

/** The media type of each manifest in some content by its digest, children first. */
function manifestsOf({ descriptor, blobs }: Content): Map<string, string> {
  const { manifests = [] } = JSON.parse(new TextDecoder().decode(blobs.get(descriptor.digest)))
  const children: Content['descriptor'][] = manifests
  const below = children.flatMap((child) => [...manifestsOf({ descriptor: child, blobs })])
  return new Map([...below, [descriptor.digest, descriptor.mediaType]])
}
