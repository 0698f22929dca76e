import type { Logger } from 'pino'
import { decide, decideCatalog, deedOf, denial, type Identity, TOKEN_PREFIX } from '../access/access.ts'
import { blobResponse } from '../http/blob-response.ts'
import { parseJson, SMALL_BODY_BYTES_MAX } from '../http/body.ts'
import { type Matched, queryOf, type TableRow, tableDispatch } from '../http/route-table.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import { unknownRepository } from '../registry/registry.ts'
import type { Metrics } from '../runtime/metrics.ts'
import {
  cacheControl,
  parseV1Path,
  ping,
  refuse,
  type SessionOptions,
  Sessions,
  type V1Context,
  type V1Exchange,
  type V1Path,
  type V1PathKind,
  type V1Request,
  type V1Target,
} from './exchange.ts'
import type { V1Image } from './images.ts'

export type V1Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'

/**
 * Who may call a row. `pull`: anyone who can pull from the repository in the path, or from the one of its image;
 * `catalog`: any account, or anyone who can pull from at least one repository; `account`: any account; `self`: the account
 * in the path, with a credential that has no scope of its own; `anybody`.
 */
export type V1Access = 'pull' | 'catalog' | 'account' | 'self' | 'anybody'

export interface V1Route<K extends V1PathKind = V1PathKind> extends TableRow {
  methods: V1Method[]
  path: K
  access: V1Access
  handle: (exchange: V1Exchange<K>) => Response | Promise<Response>
}

type Row = { [K in V1PathKind]: V1Route<K> }[V1PathKind]

const READ: V1Method[] = ['GET', 'HEAD']

/** Every endpoint of Docker's V1 API, "index" and "registry" together. */
export const V1_ROUTES: readonly Row[] = [
  { id: 'v1Ping', methods: ['GET'], path: 'ping', access: 'anybody', handle: ping },
  { id: 'v1InternalPing', methods: ['GET'], path: 'internalPing', access: 'anybody', handle: ping },
  { id: 'v1Search', methods: ['GET'], path: 'search', access: 'catalog', handle: search },
  { id: 'v1CheckPassword', methods: ['POST'], path: 'users', access: 'anybody', handle: postUser },
  { id: 'v1GetAccount', methods: ['GET'], path: 'users', access: 'account', handle: getUser },
  { id: 'v1PutPassword', methods: ['PUT'], path: 'user', access: 'self', handle: putUser },
  { id: 'v1ListImages', methods: ['GET'], path: 'images', access: 'pull', handle: listImages },
  { id: 'v1ListTags', methods: ['GET'], path: 'tags', access: 'pull', handle: listTags },
  { id: 'v1GetTag', methods: ['GET'], path: 'tag', access: 'pull', handle: getTag },
  { id: 'v1GetImage', methods: READ, path: 'json', access: 'pull', handle: getJson },
  { id: 'v1ListAncestors', methods: READ, path: 'ancestry', access: 'pull', handle: getAncestry },
  { id: 'v1GetLayer', methods: READ, path: 'layer', access: 'pull', handle: getLayer },
  {
    id: 'v1PushRepository',
    methods: ['PUT', 'DELETE'],
    path: 'repository',
    access: 'anybody',
    handle: refuse,
  },
  { id: 'v1PushImages', methods: ['PUT', 'DELETE'], path: 'images', access: 'anybody', handle: refuse },
  { id: 'v1PushAuth', methods: ['PUT'], path: 'auth', access: 'anybody', handle: refuse },
  { id: 'v1PushTags', methods: ['DELETE'], path: 'tags', access: 'anybody', handle: refuse },
  { id: 'v1PushTag', methods: ['PUT', 'DELETE'], path: 'tag', access: 'anybody', handle: refuse },
  { id: 'v1PushImage', methods: ['PUT'], path: 'json', access: 'anybody', handle: refuse },
  { id: 'v1PushLayer', methods: ['PUT'], path: 'layer', access: 'anybody', handle: refuse },
  { id: 'v1PushChecksum', methods: ['PUT'], path: 'checksum', access: 'anybody', handle: refuse },
]

/** How long caches may keep an image, in seconds: it never changes, but it can be deleted. */
const CACHED_SECONDS = 3600

/** Returns the JSON of an image. */
async function getJson(exchange: V1Exchange<'json'>): Promise<Response> {
  const { json, size } = await exchange.context.images.json(imageOf(exchange))
  return await answerImage(exchange, json, { 'x-docker-size': String(size) })
}

/** Returns the ids of an image and its ancestors. */
async function getAncestry(exchange: V1Exchange<'ancestry'>): Promise<Response> {
  const { context, request, target, identity } = exchange
  const image = imageOf(exchange)
  const ids = await context.images.ancestry(image)
  // Every pull starts with this request, so it is what counts. It names an image, not a tag.
  if (request.method === 'GET') {
    const { repository } = target
    const { account } = identity
    context.usage.pulled({ repository, tag: undefined, digest: image.manifest.digest, account })
  }
  return await answerImage(exchange, JSON.stringify(ids))
}

/** Returns the layer of an image, or a range of it: a tar archive, possibly gzipped. */
async function getLayer(exchange: V1Exchange<'layer'>): Promise<Response> {
  const { context, request } = exchange
  const image = imageOf(exchange)
  const digest = await context.images.layer(image)
  const { blobs, onBlobBody } = context
  const headers = {
    'cache-control': await cacheControl(exchange, CACHED_SECONDS),
    vary: 'Authorization, Cookie',
  }
  return await blobResponse({ request, blobs, repository: image.repository, digest, onBlobBody }, headers)
}

async function answerImage(
  exchange: V1Request,
  text: string,
  more: Record<string, string> = {},
): Promise<Response> {
  return new Response(exchange.request.method === 'HEAD' ? null : text, {
    headers: {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
      'cache-control': await cacheControl(exchange, CACHED_SECONDS),
      vary: 'Authorization, Cookie',
      ...more,
    },
  })
}

/** Returns the image of the exchange, which every row with an image id has. */
function imageOf({ target }: V1Request): V1Image {
  if (target.image !== undefined) return target.image
  throw registryError('MANIFEST_UNKNOWN', 'image not found')
}

/** Returns an empty list of images, because clients get them from the tags. */
async function listImages(exchange: V1Exchange<'images'>): Promise<Response> {
  const { context, target } = exchange
  if ((await context.repositories.find(target.repository)) === undefined)
    throw unknownRepository(target.repository)
  return await answerRepository(exchange, [])
}

/** Returns the tags of a repository with the ids of their images. */
async function listTags(exchange: V1Exchange<'tags'>): Promise<Response> {
  const { context, target } = exchange
  if ((await context.repositories.find(target.repository)) === undefined)
    throw unknownRepository(target.repository)
  return await answerRepository(exchange, await context.images.listTags(target.repository))
}

/** Returns the image id of a tag. */
async function getTag(exchange: V1Exchange<'tag'>): Promise<Response> {
  const { context, target, path } = exchange
  const id = await context.images.findTag(target.repository, path.tag)
  if (id !== undefined) return await answerRepository(exchange, id)
  throw registryError('MANIFEST_UNKNOWN', `tag "${path.tag}" not found in ${target.repository}`)
}

/** Responds with the value, the host of the images, and a session to pull them. */
async function answerRepository(exchange: V1Request, value: unknown): Promise<Response> {
  const { context, request, identity, target } = exchange
  const origin = new URL(context.originOf(request))
  const session = await context.sessions.headersFor(
    request,
    identity,
    target.repository,
    origin.protocol === 'https:',
  )
  return new Response(JSON.stringify(value), {
    headers: {
      'content-type': 'application/json',
      'x-docker-endpoints': origin.host,
      // The session is for one client, so no cache may store it.
      'cache-control': 'set-cookie' in session ? 'no-store' : await cacheControl(exchange, 0),
      vary: 'Authorization, Cookie',
      ...session,
    },
  })
}

/** Maximum repositories in the results of a search, and in a page of it. */
const FOUND_MAX = 1000
const PAGE_MAX = 100
const PAGE_DEFAULT = 25

/** `docker search HOST/WORDS`: finds repositories that the caller may pull from, by name or description. */
async function search({ context, query, identity, request }: V1Exchange<'search'>): Promise<Response> {
  const words = (query.get('q') ?? '').slice(0, 255).toLowerCase()
  const size = Math.min(PAGE_MAX, numberOf(query.get('n'), PAGE_DEFAULT))
  const page = numberOf(query.get('page'), 1)
  const anonymous = await context.sessions.anonymous()
  // A pull token is for one repository, so it must not reveal others.
  const principal = decideCatalog(context.access, identity) === 'out-of-scope' ? anonymous : identity
  const visible = context.access.pullable(principal)
  const found = await context.repositories.search(visible, words, FOUND_MAX)
  const { host } = new URL(context.originOf(request))
  const results = found.slice((page - 1) * size, page * size).map(({ name, description }) => ({
    name,
    description,
    is_public: context.access.may(anonymous, 'pull', name),
    is_official: false,
    is_automated: false,
    star_count: 0,
    href: `/v1/repositories/${name}/tags`,
  }))
  const answer = {
    query: words,
    num_results: found.length,
    num_pages: Math.ceil(found.length / size),
    page,
    page_size: size,
    results,
  }
  return new Response(JSON.stringify(answer), {
    headers: {
      'content-type': 'application/json',
      'x-docker-endpoints': host,
      'cache-control': 'private, no-cache',
      vary: 'Authorization, Cookie',
    },
  })
}

function numberOf(text: string | null, otherwise: number): number {
  return /^[1-9]\d{0,5}$/.test(text ?? '') ? Number(text) : otherwise
}

/**
 * Responds to the first request of `docker login`, which asks to create the account. It is never created: with the
 * correct password the response says that the name is taken, and Docker continues.
 */
async function postUser({ context, request }: V1Exchange<'users'>): Promise<Response> {
  const { username, password } = await readJson(context, request)
  if (typeof username !== 'string' || typeof password !== 'string') {
    throw registryError('REQUEST_INVALID', '"username" or "password" is missing in the body')
  }
  try {
    await context.sessions.authenticatePassword(request, username, password)
  } catch (error) {
    if (!(error instanceof RegistryError) || error.status !== 401) throw error
    return json(400, { error: error.entries[0]?.message, issue: issueOf(username, password) })
  }
  return json(400, 'Username or email already exists')
}

/** Returns the signed-in account. */
async function getUser({ identity }: V1Exchange<'users'>): Promise<Response> {
  return json(200, { username: identity.account ?? null, email: null })
}

/** Changes the password of an account. */
async function putUser(exchange: V1Exchange<'user'>): Promise<Response> {
  const { context, request, identity, path, requestId } = exchange
  const { password } = await readJson(context, request)
  if (typeof password !== 'string')
    throw registryError('REQUEST_INVALID', '"password" is missing in the body')
  const { account, credential } = identity
  const caller = { account, credential, address: context.addressOf(request), requestId }
  await context.accounts.users.change({ caller, at: context.now() }, path.account, { password })
  return new Response(null, { status: 204 })
}

/** Returns the reason in the terms of V1 clients. */
function issueOf(name: string, password: string): string {
  if (password.startsWith(TOKEN_PREFIX)) return 'invalid-access-token'
  return name.includes('+') ? 'robot-login-failure' : 'login-failure'
}

async function readJson({ bodies, sourceOf }: V1Context, request: Request): Promise<Record<string, unknown>> {
  return await bodies.signIn.read(sourceOf(request), SMALL_BODY_BYTES_MAX, async (bytes) => {
    try {
      const value = parseJson(bytes)
      if (typeof value === 'object' && value !== null) return { ...value }
    } catch {}
    throw registryError('REQUEST_INVALID', 'the body is not a JSON object')
  })
}

function json(status: number, value: unknown): Response {
  return new Response(JSON.stringify(value), { status, headers: { 'content-type': 'application/json' } })
}

export interface V1Options extends Omit<V1Context, 'sessions'>, SessionOptions {
  metrics: Metrics
  log: Logger
  nextRequestId: () => string
}

/** Handles everything under /v1: finds the row of the path, checks access, and calls the handler. */
export function v1Dispatch(options: V1Options): (request: Request) => Promise<Response> {
  const context = { ...options, sessions: new Sessions(options) }
  return tableDispatch<V1Path, V1Route>({
    ...options,
    rows: V1_ROUTES as readonly V1Route[],
    parse: parseV1Path,
    answer: (matched) => answer(context, matched),
    refuse(response, _request, path) {
      response.headers.set('cache-control', 'no-store')
      if (response.status === 405 && path !== undefined) {
        response.headers.set('allow', allowedOn(path).join(', '))
      }
      if (response.status === 401)
        response.headers.set('www-authenticate', 'Basic realm="cay", charset="UTF-8"')
    },
  })
}

async function answer(context: V1Context, matched: Matched<V1Path, V1Route>): Promise<Response> {
  const { request, path, row, requestId, noted } = matched
  const identity = await context.sessions.authenticate(request)
  noted.account = identity.account
  const target = await targetOf(context, path, row)
  authorise(context, identity, matched, target)
  const query = queryOf(request.url)
  return await row.handle({ context, request, path, query, identity, target, requestId })
}

/**
 * Finds what the path refers to. An image is looked up before the access check, because only its id says which
 * repository it belongs to. Ids cannot be guessed.
 */
async function targetOf(context: V1Context, path: V1Path, { access }: V1Route): Promise<V1Target> {
  if ('name' in path) return { repository: path.name, image: undefined }
  const image = access === 'pull' && 'id' in path ? await context.images.find(path.id) : undefined
  if (image !== undefined) return { repository: image.repository, image }
  if (access === 'pull') throw registryError('MANIFEST_UNKNOWN', 'image not found')
  return { repository: '' as V1Target['repository'], image }
}

/** Throws UNAUTHORIZED if another credential could help, DENIED if not. */
function authorise(
  { accounts, access, addressOf }: V1Context,
  identity: Identity,
  { request, path, row: route, requestId }: Matched<V1Path, V1Route>,
  { repository }: V1Target,
): void {
  const { account, token, limits } = identity
  const refusal = (detail: object) =>
    registryError(account === undefined ? 'UNAUTHORIZED' : 'DENIED', undefined, { detail })
  switch (route.access) {
    case 'anybody':
      return
    case 'catalog':
      // Clients accept an empty list as the result. When denied, they sign in or try the catalog of /v2.
      if (decideCatalog(access, { ...identity, token: undefined }) !== 'allowed')
        throw registryError('UNAUTHORIZED')
      return
    case 'account':
      if (account === undefined && !access.isOpen) throw registryError('UNAUTHORIZED')
      return
    case 'self': {
      const isWhole = token === undefined && limits.length === 0
      if (account === undefined || !isWhole || !('account' in path) || path.account !== account) {
        throw refusal({ account: 'account' in path ? path.account : undefined })
      }
      return
    }
    case 'pull': {
      const decision = decide(access, identity, 'pull', repository)
      if (decision === 'allowed') return
      if (decision === 'out-of-scope')
        throw registryError('UNAUTHORIZED', 'the token or cookie is for another repository')
      if (decision === 'unauthenticated') throw refusal({ action: 'pull' })
      const caller = { account, credential: identity.credential, address: addressOf(request), requestId }
      accounts.audit.noteRefusal(caller, deedOf('pull', repository))
      throw registryError('DENIED', denial(identity, 'pull', repository), { detail: { action: 'pull' } })
    }
  }
}

/** Returns the methods that are not refused; may be empty (RFC 9110, 10.2.1). */
function allowedOn({ kind }: V1Path): string[] {
  const rows = V1_ROUTES.filter(({ path, handle }) => path === kind && handle !== refuse)
  return rows.flatMap(({ methods }) => methods)
}
