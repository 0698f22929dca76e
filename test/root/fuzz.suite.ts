/**
 * Mutated requests on raw sockets, over HTTP and TLS, to every surface. `FUZZ_MINUTES=60` sends them for an hour instead of a
 * minute, and `FUZZ_SEED` repeats a run.
 */
import { expect, test } from 'bun:test'
import { mediaTypes, sha256 } from '../../scripts/lib/image.ts'
import { processUsage } from '../../scripts/lib/process-usage.ts'
import { manifestMediaType } from '../../scripts/lib/registry.ts'
import { eventually } from '../../scripts/lib/repeated.ts'
import { Random, seedFrom } from './samples.ts'
import {
  ATTACKER,
  CHECKER,
  CONFIG,
  checkService,
  exchange,
  LAYER,
  largeManifest,
  MANIFEST,
  PASSWORD,
  pushImage,
  startTarget,
  type Target,
} from './target.ts'

const MiB = 1024 * 1024
const minutes = Number(process.env.FUZZ_MINUTES ?? 1)
const CONNECTIONS = 32
/** What a server that is full or too busy answers; 505 is Bun's answer to a first line that is malformed. */
const ALLOWED = [501, 503, 505, 507]
/** Memory that a server may have kept, compared to one that was not attacked. */
const KEPT_BYTES_MAX = 30 * MiB
/** A server returns memory that it does not need when it has been idle for 30 to 50 seconds. */
const IDLE_SECONDS_MAX = 90
/** How long a server is busy before it is fuzzed: it loads much of its code at first use. */
const WARM_SECONDS = 10
const SERVICE_SECONDS = 10
const FINDINGS_MAX = 20
/** What a cache keeps by its setting is no leak, so it is to keep little. */
const SMALL_CACHE = ['--manifests-cache-bytes-max', String(MiB)]
const TLS = ['--tls', 'auto']
const REPOSITORY = `${ATTACKER}/app`
/** What stands for the id of an upload in requests. */
const UPLOAD = '-upload-'

test(
  'fuzz: mutated requests get no 5xx and no silence, users are served beside them, and no memory is kept',
  async () => {
    const seed = seedFrom('FUZZ_SEED')
    const random = new Random(seed)
    await using stack = new AsyncDisposableStack()
    const start = async (more: string[]) =>
      stack.use(await startTarget({ logLinesMax: 5000, args: [...SMALL_CACHE, ...more] }))
    const servers = await Promise.all([[], TLS].map(async (more) => await prepare(await start(more))))
    const controls = await Promise.all([[], TLS].map(async (more) => await prepare(await start(more))))
    const until = performance.now() + minutes * 60_000
    const findings: string[] = []
    const counts = { sent: 0, answered: 0 }
    const attack = async (_: unknown, at: number) => {
      const { target, requests } = servers[at % servers.length]!
      const own = random.fork()
      for (let n = 0, good: string[] = []; performance.now() < until && findings.length < FINDINGS_MAX; n++) {
        if (n % 100 === 0) good = await renew(target, requests)
        const parts = mutate(own.pick(good)!, good, own)
        if (Buffer.concat(parts).includes(CHECKER)) continue
        const answer = await exchange(new URL(target.url), parts, own.chance(0.05))
        counts.sent++
        if (answer.statuses.length > 0) counts.answered++
        const failed = answer.statuses.find((status) => status >= 500 && !ALLOWED.includes(status))
        if (failed === undefined && !answer.isHang) continue
        findings.push(`${failed ?? 'no answer'}\n${shown(parts)}\n${causeOf(target, answer.text)}`)
      }
    }
    const serve = async ({ target }: Fuzzed) => {
      while (performance.now() < until) {
        await Bun.sleep(SERVICE_SECONDS * 1000)
        await checkService(target)
      }
    }
    await Promise.all([...Array.from({ length: CONNECTIONS }, attack), ...servers.map(serve)])
    console.log(`FUZZ_SEED=${seed}: ${counts.sent} requests, ${counts.answered} answered`)
    expect(findings).toEqual([])
    expect(counts.answered).toBeGreaterThan(counts.sent / 2)
    const kept = () => servers.map(({ target }, at) => memoryOf(target) - memoryOf(controls[at]!.target))
    await eventually(
      async () => expect(Math.max(...kept())).toBeLessThan(KEPT_BYTES_MAX),
      IDLE_SECONDS_MAX,
      1000,
    )
  },
  minutes * 60_000 + 300_000,
)

/** A server, and good requests to it. */
interface Fuzzed {
  target: Target
  requests: string[]
}

/** Lets a server serve each request as it should be for a while, as a user and as an admin. */
async function prepare(target: Target): Promise<Fuzzed> {
  await target.admin.api('PUT', '/users/operator', { password: PASSWORD, admin: true })
  const token = { name: 'fuzz' }
  const operator = await target.admin.api<{ secret: string }>('POST', '/accounts/operator/tokens', token)
  const asUser = await goodRequests(target)
  const asOperator = asUser.map((one) =>
    one.replace(/^Authorization: .*$/m, `Authorization: Bearer ${operator.secret}`),
  )
  const requests = [...asUser, ...asOperator]
  const until = performance.now() + WARM_SECONDS * 1000
  const warm = async () => {
    do {
      for (const request of await renew(target, requests))
        await exchange(new URL(target.url), [Buffer.from(request, 'latin1')])
    } while (performance.now() < until)
  }
  await Promise.all(Array.from({ length: CONNECTIONS / 4 }, warm))
  await target.attacker.putManifest(REPOSITORY, 'large', largeManifest())
  await checkService(target)
  return { target, requests }
}

/** Restores what other requests have deleted or locked, and returns the requests with an upload that has begun. */
async function renew({ admin, attacker }: Target, requests: string[]): Promise<string[]> {
  let id = UPLOAD
  try {
    await admin.api('PUT', `/users/${ATTACKER}`, { password: PASSWORD })
    await pushImage(attacker, REPOSITORY)
    id = (await attacker.startUpload(REPOSITORY)).split('/').at(-1) ?? ''
  } catch {
    // Other requests lock what is restored, too; the next time it works.
  }
  return requests.map((request) => request.replaceAll(UPLOAD, id))
}

function memoryOf({ server }: Target): number {
  return processUsage(server.pid).rssBytes
}

function shown(parts: Uint8Array[]): string {
  return JSON.stringify(Buffer.concat(parts).toString('latin1')).slice(0, 1500)
}

/** Returns the lines of the server's log about the failed request. */
function causeOf({ server }: Target, answer: string): string {
  const id = /x-request-id: (\S+)/i.exec(answer.slice(answer.search(/HTTP\/1\.1 5/)))?.[1]
  const lines = server.log().split('\n')
  return lines.filter((line) => id !== undefined && line.includes(id)).join('\n')
}

interface Operation {
  operationId?: string
  parameters?: { name: string; in: string; example?: unknown; schema?: { example?: unknown } }[]
  requestBody?: { content: Record<string, { example?: unknown }> }
}

/** Operations that would take from the attacker what it attacks with, and the one whose response does not end. */
const LEFT_OUT = ['rotateSigningKey', 'deleteUser', 'updateUser', 'v1PutPassword', 'watchEvents']

/** Returns a good request for each operation of every surface, by the server's own document, with what is really there. */
async function goodRequests({ nobody, attacker }: Target): Promise<string[]> {
  await pushImage(attacker, REPOSITORY)
  const document = (await nobody.get('/swagger/json')).json<{
    paths: Record<string, Record<string, Operation>>
  }>()
  const { secret } = await attacker.api<{ secret: string }>('POST', `/accounts/${ATTACKER}/tokens`, {
    name: 'fuzz',
  })
  const image = (await attacker.get(`/v1/repositories/${REPOSITORY}/tags`)).json<{ latest: string }>().latest
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  )
  const ids = operations.map(({ operation }) => operation.operationId)
  expect(ids, 'an operation that is left out has another id').toEqual(expect.arrayContaining(LEFT_OUT))
  const chosen = operations.filter(({ operation }) => !LEFT_OUT.includes(operation.operationId ?? ''))
  const described = chosen.map(({ path, method, operation }) =>
    describedRequest(path, method, operation, secret, image),
  )
  const pages = ['/', '/swagger', '/v2', '/v1/_ping', '/problems/not-found', '/nothing']
  const challenge = `/token?service=cay&scope=repository:${REPOSITORY}:pull,push`
  const all = [...described, ...[...pages, challenge].map((path) => request('GET', path)), ...protocol()]
  return all.sort((a, b) => Number(a.startsWith('DELETE')) - Number(b.startsWith('DELETE')))
}

function request(
  method: string,
  target: string,
  headers: string[] = [],
  body: Uint8Array | string = '',
): string {
  const length = body.length > 0 || method !== 'GET' ? [`Content-Length: ${body.length}`] : []
  const text = typeof body === 'string' ? body : Buffer.from(body).toString('latin1')
  return [`${method} ${target} HTTP/1.1`, 'Host: registry.example', ...headers, ...length, '', text].join(
    '\r\n',
  )
}

const BASIC = `Authorization: Basic ${btoa(`${ATTACKER}:${PASSWORD}`)}`

function describedRequest(path: string, method: string, operation: Operation, secret: string, image: string) {
  const isApi = path.startsWith('/api/')
  const known: Record<string, string> = {
    digest: sha256(LAYER),
    // Only a manifest's digest is good for changes by the admin API.
    reference: isApi && method !== 'GET' ? sha256(MANIFEST) : 'latest',
    tag: 'latest',
    account: ATTACKER,
    id: path.startsWith('/v1/') ? image : UPLOAD,
    name: !isApi ? REPOSITORY : path.includes('robots') ? `${ATTACKER}+ci` : ATTACKER,
    repository: REPOSITORY,
  }
  const { parameters = [], requestBody } = operation
  const valueFor = (name: string) => {
    const found = parameters.find((one) => one.name === name)
    return known[name] ?? String(found?.schema?.example ?? found?.example ?? 'text')
  }
  const target = path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    name === 'repository' ? encodeURIComponent(REPOSITORY) : valueFor(name),
  )
  // A push by a tag takes no further tags.
  const isSent = ({ name, in: place }: { name: string; in: string }) =>
    place === 'query' && !['tag', 'last', 'cursor', 'deleted'].includes(name)
  const query = new URLSearchParams(
    parameters.filter(isSent).map(({ name }): [string, string] => [name, valueFor(name)]),
  )
  const [type, content] = Object.entries(requestBody?.content ?? {})[0] ?? []
  return request(
    method,
    query.size === 0 ? target : `${target}?${query}`,
    [
      isApi ? `Authorization: Bearer ${secret}` : BASIC,
      ...(type === undefined ? [] : [`Content-Type: ${type === '*/*' ? manifestMediaType : type}`]),
    ],
    type === undefined ? '' : bodyOf(path, type, content?.example),
  )
}

function bodyOf(path: string, type: string, example: unknown): Uint8Array | string {
  if (path.includes('/manifests/')) return MANIFEST
  if (path.includes('/blobs/')) return LAYER
  if (type.includes('form'))
    return `grant_type=password&username=${ATTACKER}&password=${PASSWORD}&service=cay`
  // Of what a restore can be told, one is enough.
  return JSON.stringify(path.endsWith('/restore') ? { at: new Date().toISOString() } : (example ?? {}))
}

/** Returns further requests of a push and a pull, as clients send them. */
function protocol(): string[] {
  const manifest = { mediaType: manifestMediaType, digest: sha256(MANIFEST), size: MANIFEST.length }
  const annotations = { 'quay.expires-after': '2h' }
  const mediaType = mediaTypes.index
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    manifests: [manifest],
    subject: manifest,
    annotations,
  })
  const schema1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
  const send = (method: string, target: string, headers: string[] = [], body: Uint8Array | string = '') =>
    request(method, `/v2/${REPOSITORY}${target}`, [BASIC, ...headers], body)
  return [
    send('POST', '/blobs/uploads/'),
    send('POST', `/blobs/uploads/?digest=${sha256(CONFIG)}`, [], CONFIG),
    send('POST', `/blobs/uploads/?mount=${sha256(LAYER)}&from=${REPOSITORY}`),
    send('PATCH', `/blobs/uploads/${UPLOAD}`, ['Content-Range: 0-42'], LAYER.slice(0, 43)),
    send('PUT', `/blobs/uploads/${UPLOAD}?digest=${sha256(LAYER)}`, [], LAYER),
    send('GET', `/blobs/${sha256(LAYER)}`, ['Range: bytes=3-9']),
    send('PUT', '/manifests/index', [`Content-Type: ${mediaType}`], index),
    send('GET', '/manifests/latest', [`Accept: ${schema1}`]),
    send('GET', '/manifests/latest', [`Accept: ${manifestMediaType}`, 'If-None-Match: "x"']),
    send('GET', `/referrers/${sha256(MANIFEST)}?artifactType=a/b`),
  ]
}

const wordsIn = (text: string) => text.trim().split(/\s+/)

const METHODS = wordsIn('GET HEAD POST PUT PATCH DELETE OPTIONS TRACE get BREW')

/** Texts that parsers have trouble with. */
const TEXTS = [
  ...wordsIn(`
    0 -1 1e9 0x10 99999999999999999999 9007199254740993 NaN %00 %zz %2F%2e%2e%2F ../../../etc/passwd __proto__ constructor
    %F0%9F%92%A3 %ED%A0%80 bytes=0-0,2-3,5- bytes=-999999999999 / // ? & # % `),
  ...[
    '',
    ' ',
    '27, 27',
    '\0',
    '\u00ff\u00fe',
    "' OR 1=1 --",
    'a'.repeat(300),
    'a'.repeat(8000),
    'x/'.repeat(2000),
  ],
  ...['"'.repeat(100), ','.repeat(3000), ';=;'.repeat(1000), '*'.repeat(2000)],
  ...[`sha256:${'0'.repeat(64)}`, `sha512:${'f'.repeat(128)}`, `sha256:${'A'.repeat(64)}`],
]

const HEADERS = wordsIn(`
  Content-Length Transfer-Encoding Content-Type Content-Range Range Host Authorization Cookie Accept If-Match If-None-Match
  Expect Connection Forwarded X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Docker-Token Origin Sec-Fetch-Site
  User-Agent Content-Encoding Upgrade X-Csrf-Token`)

const VALUES = [
  ...TEXTS,
  ...wordsIn(`chunked gzip,chunked 100-continue upgrade application/x-www-form-urlencoded for="[::1]:80";proto=https;host=a
    application/json;charset=utf-16 application/vnd.docker.distribution.manifest.v1+prettyjws 198.51.100.9`),
  ...[
    'Basic Og==',
    `Basic ${'A'.repeat(4000)}`,
    `Bearer cay_${'a'.repeat(43)}`,
    'Bearer eyJhbGciOiJub25lIn0.e30.',
  ],
  ...['docker/1.5.0 go/go1.3.3 kernel/3.0 os/linux', 'Token signature=a,repository="b",access=read'],
]

/** Values of JSON in the place of others. */
const JSON_TEXTS = [
  ...wordsIn('null [] {} -0 1e400 "\\ud800" 12345678901234567890 {"__proto__":{"a":1}}'),
  ...[`"${'x'.repeat(5000)}"`, `[${'0,'.repeat(5000)}0]`, '['.repeat(5000) + ']'.repeat(5000)],
  `${'{"a":'.repeat(90)}1${'}'.repeat(90)}`,
  `{${Array.from({ length: 5000 }, (_, i) => `"k${i}":"v"`).join(',')}}`,
]

/** A request in its parts, each byte a character. */
interface Parts {
  line: string
  headers: string[]
  body: string
}

const TOKEN = /[^/?&= ]+/g

/** Each returns what it changes of a request. */
const MUTATIONS: ((parts: Parts, random: Random, text: string) => Partial<Parts>)[] = [
  ({ line }, random) => ({ line: line.replace(/^\S+/, random.pick(METHODS)!) }),
  ({ line }, random, text) => ({ line: spliced(line, text, random) }),
  ({ line }, random, text) => ({ line: replaced(line, TOKEN, encodeURIComponent(text), random) }),
  ({ line }, random, text) => ({ line: replaced(line, TOKEN, text, random) }),
  ({ headers }, random) => ({ headers: [...headers, `${random.pick(HEADERS)}: ${random.pick(VALUES)}`] }),
  ({ headers }, random, text) => ({ headers: [...headers, spliced('X-A: x', text, random)] }),
  ({ headers }, random) => ({ headers: headers.filter(() => !random.chance(0.3)) }),
  ({ headers }, random) => ({ headers: headers.flatMap((one) => (random.chance(0.3) ? [one, one] : [one])) }),
  ({ headers }, random, text) => ({
    headers: headers.map((one) => (random.chance(0.3) ? spliced(one, text, random) : one)),
  }),
  (parts, random) => withBody(parts, parts.body.slice(0, random.below(parts.body.length + 1))),
  (parts, random) => withBody(parts, flipped(parts.body, random)),
  (parts, random) => withBody(parts, parts.body + flipped(parts.body, random)),
  (parts, random) => withBody(parts, replaced(parts.body, JSON_VALUE, random.pick(JSON_TEXTS)!, random)),
  (parts, random, text) => withBody(parts, replaced(parts.body, JSON_VALUE, JSON.stringify(text), random)),
  (parts, random) => withBody(parts, random.pick(JSON_TEXTS)!),
  (parts, random) => withBody(parts, '\0'.repeat(random.below(200_000))),
  ({ body }, random) => ({ body: body.slice(0, random.below(body.length + 1)) }),
  inChunks,
]

const JSON_VALUE = /"(?:[^"\\]|\\.)*"|-?\d+|true|false|null/g

/** Changes a request in one to four ways, and how it is sent; what results is the same for the same random numbers. */
function mutate(good: string, others: readonly string[], random: Random): Uint8Array[] {
  const [, head = '', body = ''] = /^(.*?)\r\n\r\n(.*)$/s.exec(good) ?? []
  const [line = '', ...headers] = head.split('\r\n')
  const parts = { line, headers: [...headers, `X-Forwarded-For: 203.0.113.${random.below(250)}`], body }
  for (let count = 1 + random.below(4); count > 0; count--)
    Object.assign(parts, random.pick(MUTATIONS)!(parts, random, random.pick(TEXTS)!))
  if (random.chance(0.03))
    parts.line = parts.line.replace(/HTTP.*$/, random.pick(['HTTP/1.0', 'HTTP/2', 'HTTP/9.9', ''])!)
  let text = `${[parts.line, ...parts.headers].join('\r\n')}\r\n\r\n${parts.body}`
  if (random.chance(0.1)) text += random.pick(others)
  if (random.chance(0.1)) text = flipped(text, random)
  if (random.chance(0.05)) text = text.slice(0, random.below(text.length + 1))
  const bytes = Buffer.from(text, 'latin1')
  if (!random.chance(0.2)) return [bytes]
  const size = 1 + random.below(Math.max(2, bytes.length / 4))
  const count = Math.min(50, Math.ceil(bytes.length / size))
  return Array.from({ length: count }, (_, i) =>
    bytes.subarray(i * size, i === 49 ? undefined : (i + 1) * size),
  )
}

/** Returns the body in chunks, some of which are not as they should be. */
function inChunks({ body, headers }: Parts, random: Random): Partial<Parts> {
  const chunks: string[] = []
  for (let at = 0; at < body.length; ) {
    const part = body.slice(at, at + 1 + random.below(100_000))
    at += part.length
    const extension = random.pick(['', '', '', ';a=b', ';a="b;c"', ' ', ';'.repeat(100)])
    const wrong = random.pick(['-1', 'ffffffffffffffff', 'g', '', '0x1'])
    chunks.push(`${random.chance(0.1) ? wrong : part.length.toString(16)}${extension}\r\n${part}\r\n`)
  }
  chunks.push(random.pick(['0\r\n\r\n', '0\r\n\r\n', '0\r\nX-T: 1\r\n\r\n', '0\r\n', ''])!)
  const kept = headers.filter((one) => !one.startsWith('Content-Length') || random.chance(0.1))
  return { headers: [...kept, 'Transfer-Encoding: chunked'], body: chunks.join('') }
}

/** Returns a body with the length that fits. */
function withBody({ headers }: Parts, text: string): Partial<Parts> {
  // Texts of JSON can have characters of more than one byte.
  const body = Buffer.from(text, /[^\0-\xff]/.test(text) ? 'utf8' : 'latin1').toString('latin1')
  const others = headers.filter((one) => !one.startsWith('Content-Length'))
  return { body, headers: [...others, `Content-Length: ${body.length}`] }
}

function flipped(text: string, random: Random): string {
  const bytes = Buffer.from(text, 'latin1')
  for (let count = 1 + random.below(8); count > 0 && bytes.length > 0; count--)
    bytes[random.below(bytes.length)] = random.below(256)
  return bytes.toString('latin1')
}

function spliced(text: string, other: string, random: Random): string {
  const at = random.below(text.length + 1)
  return `${text.slice(0, at)}${other}${text.slice(random.chance(0.5) ? at : text.length)}`
}

/** Returns the text with one of what the pattern finds replaced. */
function replaced(text: string, pattern: RegExp, by: string, random: Random): string {
  const found = random.pick([...text.matchAll(pattern)])
  if (found === undefined) return text
  return `${text.slice(0, found.index)}${by}${text.slice(found.index + found[0].length)}`
}
