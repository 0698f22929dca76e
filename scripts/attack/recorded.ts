import { sha256 } from '../lib/image.ts'
import { manifestMediaType, type Registry } from '../lib/registry.ts'
import { ATTACKER, type Clients, CONFIG, LAYER, MANIFEST, PASSWORD, pushImage } from './target.ts'

/** A request as it is sent, before anything is changed in it. */
export interface Recorded {
  method: string
  /** With its query. */
  target: string
  headers: [name: string, value: string][]
  body: Uint8Array
}

interface Document {
  paths: Record<string, Record<string, Operation>>
}

interface Operation {
  operationId?: string
  parameters?: { name: string; in: string; example?: unknown; schema?: { example?: unknown } }[]
  requestBody?: { content: Record<string, { example?: unknown }> }
}

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete']

const REPOSITORY = `${ATTACKER}/app`

/** What stands for the id of an upload in targets. */
const UPLOAD = '-upload-'

/** Pushes what the requests are about, which others of them delete, and answers them with an upload that has begun. */
export async function renew({ attacker }: Clients, recorded: readonly Recorded[]): Promise<Recorded[]> {
  await pushImage(attacker, REPOSITORY)
  const id = (await attacker.startUpload(REPOSITORY)).split('/').at(-1) ?? ''
  return recorded.map((request) => ({ ...request, target: request.target.replace(UPLOAD, id) }))
}

/**
 * The ids of operations that would take from the attacker what it attacks with, and of the one whose response does not
 * end.
 */
const LEFT_OUT = ['rotateSigningKey', 'deleteUser', 'updateUser', 'v1PutPassword', 'watchEvents']

/** A good request for each operation of every surface, from the server's own document, with what is really there. */
export async function recordRequests({ nobody, attacker }: Clients): Promise<Recorded[]> {
  await pushImage(attacker, REPOSITORY)
  const document = (await nobody.get('/swagger/json')).json<Document>()
  checkLeftOut(document)
  const known = await knownValues(attacker)
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    METHODS.flatMap((method) => {
      const operation = methods[method]
      if (operation === undefined || LEFT_OUT.includes(operation.operationId ?? '')) return []
      return [recordedOf(method.toUpperCase(), path, operation, known)]
    }),
  )
  const pages = ['/', '/swagger', '/v2', '/v1/_ping', '/problems/not-found', '/nothing'].map((path) =>
    get(path),
  )
  const challenge = `/token?service=cay&scope=repository:${REPOSITORY}:pull,push`
  const all = [...operations, ...pages, get(challenge), ...protocol(known)]
  return all.sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'))
}

/** @throws Error if an operation that is left out has another id by now, and so would be sent */
function checkLeftOut({ paths }: Document): void {
  const ids = Object.values(paths).flatMap((methods) => METHODS.map((method) => methods[method]?.operationId))
  const unknown = LEFT_OUT.filter((id) => !ids.includes(id))
  if (unknown.length > 0) throw new Error(`the API has no operation ${unknown.join(', ')}`)
}

type Known = Record<string, string>

async function knownValues(attacker: Registry): Promise<Known> {
  const tags = (await attacker.get(`/v1/repositories/${REPOSITORY}/tags`)).json<{ latest: string }>()
  const { secret } = await attacker.api<{ secret: string }>('POST', `/accounts/${ATTACKER}/tokens`, {
    name: 'fuzz',
  })
  return {
    name: REPOSITORY,
    digest: sha256(LAYER),
    reference: 'latest',
    tag: 'latest',
    account: ATTACKER,
    id: UPLOAD,
    image: tags.latest,
    basic: `Basic ${btoa(`${ATTACKER}:${PASSWORD}`)}`,
    bearer: `Bearer ${secret}`,
  }
}

function recordedOf(method: string, path: string, operation: Operation, known: Known): Recorded {
  const isApi = path.startsWith('/api/')
  const valueFor = (name: string, place: string, example: unknown) => {
    if (name === 'name' && isApi) return path.includes('robots') ? `${ATTACKER}+ci` : ATTACKER
    if (name === 'id' && path.startsWith('/v1/')) return known.image ?? ''
    if (name === 'repository') return place === 'path' ? encodeURIComponent(REPOSITORY) : REPOSITORY
    // Only a manifest's digest is good for these.
    if (name === 'reference' && isApi && method !== 'GET') return sha256(MANIFEST)
    return known[name] ?? String(example)
  }
  const parameters = (operation.parameters ?? []).filter(
    ({ name }) => !['last', 'cursor', 'deleted'].includes(name),
  )
  const valued = parameters.map(({ name, in: place, example, schema }) => ({
    name,
    place,
    value: valueFor(name, place, schema?.example ?? example ?? 'text'),
  }))
  const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    return (
      valued.find((one) => one.place === 'path' && one.name === name)?.value ?? valueFor(name, 'path', 'text')
    )
  })
  const query = new URLSearchParams(
    valued.filter(isOfQuery).map(({ name, value }): [string, string] => [name, value]),
  )
  const given = operation.requestBody?.content ?? {}
  const [type, content] = Object.entries(given)[0] ?? []
  const body = bodyOf(path, type, content?.example)
  return {
    method,
    target: query.size === 0 ? target : `${target}?${query}`,
    headers: [
      ['Host', 'registry.example'],
      ['Authorization', (isApi ? known.bearer : known.basic) ?? ''],
      ...(type === undefined ? [] : [headerOf('Content-Type', type === '*/*' ? manifestMediaType : type)]),
      ...(body.length > 0 ? [headerOf('Content-Length', String(body.length))] : []),
    ],
    body,
  }
}

/** A push by a tag takes no further tags. */
function isOfQuery({ name, place }: { name: string; place: string }): boolean {
  return place === 'query' && name !== 'tag'
}

function headerOf(name: string, value: string): [string, string] {
  return [name, value]
}

function bodyOf(path: string, type: string | undefined, example: unknown): Uint8Array {
  if (type === undefined) return new Uint8Array()
  if (path.includes('/manifests/')) return MANIFEST
  if (path.includes('/blobs/')) return LAYER
  const form = `grant_type=password&username=${ATTACKER}&password=${PASSWORD}&service=cay`
  // Of what a restore can be told, one is enough.
  const json = path.endsWith('/restore') ? { at: new Date().toISOString() } : (example ?? {})
  return new TextEncoder().encode(type.includes('form') ? form : JSON.stringify(json))
}

function get(target: string): Recorded {
  return { method: 'GET', target, headers: [['Host', 'registry.example']], body: new Uint8Array() }
}

/** Further requests of a push and a pull, as clients send them. */
function protocol(known: Known): Recorded[] {
  const send = (
    method: string,
    target: string,
    headers: Record<string, string>,
    body: Uint8Array = new Uint8Array(),
  ): Recorded => ({
    method,
    target: `/v2/${REPOSITORY}${target}`,
    headers: [
      ['Host', 'registry.example'],
      ['Authorization', known.basic ?? ''],
      ...Object.entries(headers),
      ['Content-Length', String(body.length)],
    ],
    body,
  })
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ mediaType: manifestMediaType, digest: sha256(MANIFEST), size: MANIFEST.length }],
    subject: { mediaType: manifestMediaType, digest: sha256(MANIFEST), size: MANIFEST.length },
    annotations: { 'quay.expires-after': '2h' },
  }
  const schema1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
  return [
    send('POST', '/blobs/uploads/', {}),
    send('POST', `/blobs/uploads/?digest=${sha256(CONFIG)}`, {}, CONFIG),
    send('POST', `/blobs/uploads/?mount=${sha256(LAYER)}&from=${REPOSITORY}`, {}),
    send('PATCH', `/blobs/uploads/${known.id}`, { 'Content-Range': '0-42' }, LAYER.slice(0, 43)),
    send('PUT', `/blobs/uploads/${known.id}?digest=${sha256(LAYER)}`, {}, LAYER),
    send('GET', `/blobs/${sha256(LAYER)}`, { Range: 'bytes=3-9' }),
    send(
      'PUT',
      '/manifests/index',
      { 'Content-Type': index.mediaType },
      new TextEncoder().encode(JSON.stringify(index)),
    ),
    send('GET', '/manifests/latest', { Accept: schema1 }),
    send('GET', '/manifests/latest', { Accept: manifestMediaType, 'If-None-Match': '"x"' }),
    send('GET', `/referrers/${sha256(MANIFEST)}?artifactType=a/b`, {}),
  ]
}
