import { encode, makeImage, mediaTypes, sha256 } from '../../scripts/lib/image.ts'
import { writeRepository } from '../../scripts/lib/registry-folder.ts'

/** The repository that moves, with an image as tag 1.0, and its signature as the tag that cosign makes. */
const REPOSITORY = 'team/app'

/** What differs between the registries that cay migrates from. */
const HARBOR = {
  login: 'robot$mover:secret',
  realm: '/service/token',
  service: 'harbor-registry',
  next: (last: string) => `last=${encodeURIComponent(last)}&n=1`,
  hasStorage: false,
}
const QUAY: typeof HARBOR = {
  login: 'team+mover:secret',
  realm: '/v2/auth',
  service: 'quay.example',
  next: (last: string) => `n=1&next_page=${encodeURIComponent(btoa(last))}`,
  // Blobs are on another host, to which clients are redirected.
  hasStorage: true,
}

/**
 * Starts registries that answer as Harbor and Quay do, on free ports, and writes the data folder of a registry:2. Each
 * has the same image, whose digest is returned.
 */
export async function startOtherRegistries(folder: string) {
  const content = await movedContent()
  const { digest, blobs, manifests, tags } = content
  const stored = (map: Map<string, Uint8Array>) => [...map].map(([digest, bytes]) => ({ digest, bytes }))
  writeRepository(folder, REPOSITORY, { blobs: stored(blobs), manifests: stored(manifests), tags })
  // As S3 does, it refuses a request that has two signatures.
  const storage = serve(({ headers }, { pathname }) =>
    headers.has('authorization') ? new Response(null, { status: 400 }) : found(blobs.get(pathname.slice(1))),
  )
  const [harbor, quay] = [HARBOR, QUAY].map((kind) =>
    serve((request, url) => answer(kind, content, storage.url, request, url)),
  )
  const stop = async () =>
    void (await Promise.all([storage, harbor, quay].map((server) => server!.stop(true))))
  return { harbor: harbor!.url.origin, quay: quay!.url.origin, digest, [Symbol.asyncDispose]: stop }
}

type MovedContent = Awaited<ReturnType<typeof movedContent>>

function answer(
  { login, realm, service, next, hasStorage }: typeof HARBOR,
  { blobs, manifests, tags }: MovedContent,
  storage: URL,
  { headers }: Request,
  { origin, pathname, searchParams }: URL,
): Response {
  const authorization = headers.get('authorization')
  if (pathname === realm) {
    const isKnown = authorization === `Basic ${btoa(login)}` && searchParams.get('service') === service
    // Harbor sends an empty access_token.
    const token = { token: btoa(searchParams.get('scope') ?? ''), access_token: '', expires_in: 1800 }
    return isKnown ? Response.json(token) : new Response(null, { status: 401 })
  }
  const [, repository, what, reference = ''] =
    /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/(.+)$/.exec(pathname) ?? []
  const scope = repository === undefined ? 'registry:catalog:*' : `repository:${repository}:pull`
  if (authorization !== `Bearer ${btoa(scope)}`) {
    const challenge = `Bearer realm="${origin}${realm}",service="${service}",scope="${scope}"`
    const errors = [{ code: 'UNAUTHORIZED', message: 'unauthorized: unauthorized' }]
    return Response.json({ errors }, { status: 401, headers: { 'www-authenticate': challenge } })
  }
  if (repository === undefined) {
    // One repository a page.
    const last = searchParams.get('last') ?? atob(searchParams.get('next_page') ?? '')
    if (last === 'other/app') return Response.json({ repositories: [REPOSITORY] })
    const link = `</v2/_catalog?${next('other/app')}>; rel="next"`
    return Response.json({ repositories: ['other/app'] }, { headers: { link } })
  }
  if (repository !== REPOSITORY) return found(undefined)
  if (what === 'tags') return Response.json({ name: repository, tags: [...tags.keys()] })
  if (what === 'manifests') return found(manifests.get(tags.get(reference) ?? reference), mediaTypes.manifest)
  if (what === 'blobs' && hasStorage) return Response.redirect(`${storage}${reference}`, 302)
  return found(what === 'blobs' ? blobs.get(reference) : undefined)
}

async function movedContent() {
  const { descriptor, blobs, config } = await makeImage({ layerBytes: 200_000 })
  const { digest } = descriptor
  const of = { mediaType: mediaTypes.config, digest: sha256(config), size: config.length }
  const signature = encode({ schemaVersion: 2, mediaType: mediaTypes.manifest, config: of, layers: [] })
  const manifests = new Map([digest, sha256(signature)].map((one) => [one, blobs.get(one) ?? signature]))
  blobs.delete(digest)
  const tags = new Map([['1.0', digest]]).set(`${digest.replace(':', '-')}.sig`, sha256(signature))
  return { digest, blobs, manifests, tags }
}

function serve(fetch: (request: Request, url: URL) => Response) {
  return Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request) => fetch(request, new URL(request.url)),
  })
}

function found(bytes: Uint8Array | undefined, type = 'application/octet-stream'): Response {
  if (bytes === undefined) return new Response('{"errors":[{"code":"NAME_UNKNOWN"}]}', { status: 404 })
  return new Response(new Uint8Array(bytes), { headers: { 'content-type': type } })
}
