import { encode, type Image, makeImage, mediaTypes, sha256 } from '../lib/image.ts'
import { writeRepository } from '../lib/registry-folder.ts'

/** What the registries have: an image with a tag, and its signature as the tag that cosign makes. */
const MOVED = { repository: 'team/app', tag: '1.0' }

const SECRET = 'secret'

/** How a kind of registry gives tokens and pages, as far as that differs. */
interface Kind {
  account: string
  realm: string
  service: string
  /** The query of the next page of the catalog. */
  next: (last: string) => string
  /** Blobs are on another host, to which clients are redirected. */
  hasStorage: boolean
}

const KINDS = {
  harbor: {
    account: 'robot$mover',
    realm: '/service/token',
    service: 'harbor-registry',
    next: (last) => `last=${encodeURIComponent(last)}&n=1`,
    hasStorage: false,
  },
  quay: {
    account: 'team+mover',
    realm: '/v2/auth',
    service: 'quay.example',
    next: (last) => `n=1&next_page=${encodeURIComponent(btoa(last))}`,
    hasStorage: true,
  },
} satisfies Record<string, Kind>

type RegistryKind = keyof typeof KINDS

/** A registry that moves out. */
interface OtherRegistry extends AsyncDisposable {
  url: string
  /** The digest of the image. */
  digest: string
}

/** Starts a registry that answers as Harbor or Quay does, on a free port. */
export async function startRegistry(name: RegistryKind): Promise<OtherRegistry> {
  const kind: Kind = KINDS[name]
  const image = await makeImage({ layerBytes: 200_000 })
  const { manifests, tags } = contentOf(image)
  const repositories = ['other/app', MOVED.repository]
  await using resources = new AsyncDisposableStack()
  // As S3 does, it refuses a request that has two signatures.
  const storage = serve((request, url) =>
    request.headers.has('authorization')
      ? new Response('only one auth mechanism allowed', { status: 400 })
      : found(image.blobs.get(url.pathname.slice(1))),
  )
  resources.defer(() => storage.stop(true))
  const server = serve((request, url) => {
    if (url.pathname === kind.realm) return giveToken(kind, request, url)
    const [, repository = '', what, reference = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/(.+)$/.exec(url.pathname) ?? []
    const scope = repository === '' ? 'registry:catalog:*' : `repository:${repository}:pull`
    if (request.headers.get('authorization') !== `Bearer ${btoa(scope)}`) return challenge(kind, url, scope)
    if (repository === '') return catalogPage(kind, url, repositories)
    if (repository !== MOVED.repository) return found(undefined)
    if (what === 'tags') return Response.json({ name: repository, tags: [...tags.keys()] })
    if (what === 'manifests') return manifestOf(manifests.get(tags.get(reference) ?? reference))
    if (what === 'referrers') return found(undefined)
    const bytes = image.blobs.get(reference)
    return kind.hasStorage ? Response.redirect(`${storage.url}${reference}`, 302) : found(bytes)
  })
  resources.defer(() => server.stop(true))
  const kept = resources.move()
  return {
    url: server.url.origin,
    digest: image.descriptor.digest,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** Writes the data folder of a registry:2 that has the image; returns its digest. */
export async function writeRegistryFolder(folder: string): Promise<string> {
  const image = await makeImage({ layerBytes: 200_000 })
  const stored = (blobs: Map<string, Uint8Array>) => [...blobs].map(([digest, bytes]) => ({ digest, bytes }))
  const { manifests, tags } = contentOf(image)
  const blobs = stored(image.blobs).filter(({ digest }) => !manifests.has(digest))
  writeRepository(folder, MOVED.repository, { blobs, manifests: stored(manifests), tags })
  return image.descriptor.digest
}

function contentOf({ descriptor, blobs, config }: Image) {
  const bytes = blobs.get(descriptor.digest) ?? new Uint8Array()
  const signature = encode({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: sha256(config), size: config.length },
    layers: [],
  })
  return {
    manifests: new Map([
      [descriptor.digest, bytes],
      [sha256(signature), signature],
    ]),
    tags: new Map([
      [MOVED.tag, descriptor.digest],
      [`${descriptor.digest.replace(':', '-')}.sig`, sha256(signature)],
    ]),
  }
}

function serve(fetch: (request: Request, url: URL) => Response) {
  return Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request) => fetch(request, new URL(request.url)),
  })
}

function giveToken({ account, service }: Kind, request: Request, { searchParams }: URL): Response {
  const isKnown = request.headers.get('authorization') === `Basic ${btoa(`${account}:${SECRET}`)}`
  if (!isKnown || searchParams.get('service') !== service) return new Response(null, { status: 401 })
  // Harbor sends an empty access_token.
  return Response.json({ token: btoa(searchParams.get('scope') ?? ''), access_token: '', expires_in: 1800 })
}

function challenge({ realm, service }: Kind, { origin }: URL, scope: string): Response {
  const header = `Bearer realm="${origin}${realm}",service="${service}",scope="${scope}"`
  const errors = [{ code: 'UNAUTHORIZED', message: 'unauthorized: unauthorized' }]
  return Response.json({ errors }, { status: 401, headers: { 'www-authenticate': header } })
}

/** One repository a page. */
function catalogPage({ next }: Kind, { searchParams }: URL, repositories: string[]): Response {
  const last = searchParams.get('last') ?? atob(searchParams.get('next_page') ?? '')
  const name = repositories[repositories.indexOf(last) + 1] ?? ''
  const link = `</v2/_catalog?${next(name)}>; rel="next"`
  const isLast = name === repositories.at(-1)
  return Response.json({ repositories: [name] }, isLast ? {} : { headers: { link } })
}

function manifestOf(bytes: Uint8Array | undefined): Response {
  return found(bytes, mediaTypes.manifest)
}

function found(bytes: Uint8Array | undefined, type = 'application/octet-stream'): Response {
  if (bytes === undefined) return new Response('{"errors":[{"code":"NAME_UNKNOWN"}]}', { status: 404 })
  return new Response(new Uint8Array(bytes), { headers: { 'content-type': type } })
}
