import type { Random } from '../soak/random.ts'
import type { Recorded } from './recorded.ts'

/** Bytes to send, in the parts that they are sent in. */
export interface Attack {
  parts: Uint8Array[]
  /** The client breaks the connection off afterwards. */
  isReset: boolean
}

/** Changes one thing of a request. */
type Mutation = (request: Recorded, random: Random) => Recorded

const MANY = 5000

/** Texts that parsers have trouble with. */
const TEXTS = [
  '',
  ' ',
  '0',
  '-1',
  '27, 27',
  '1e9',
  '0x10',
  '99999999999999999999',
  'NaN',
  '\0',
  '\u00ff\u00fe',
  '%00',
  '%2F%2e%2e%2F',
  '%zz',
  '../../../etc/passwd',
  '__proto__',
  'constructor',
  "' OR 1=1 --",
  '%F0%9F%92%A3',
  '\ud800',
  'a'.repeat(300),
  'a'.repeat(8000),
  'x/'.repeat(2000),
  '"'.repeat(100),
  ','.repeat(3000),
  ';=;'.repeat(1000),
  '*'.repeat(2000),
  `sha256:${'0'.repeat(64)}`,
  `sha512:${'f'.repeat(128)}`,
  `sha256:${'A'.repeat(64)}`,
  'bytes=0-0,2-3,5-',
  'bytes=-999999999999',
  '9007199254740993',
]

const HEADERS = `
  Content-Length Transfer-Encoding Content-Type Content-Range Range Host Authorization Cookie Accept
  If-Match If-None-Match Expect Connection Forwarded X-Forwarded-For X-Forwarded-Proto
  X-Forwarded-Host X-Docker-Token Origin Sec-Fetch-Site User-Agent Content-Encoding Upgrade
  X-Csrf-Token
`
  .trim()
  .split(/\s+/)

const VALUES = [
  ...TEXTS,
  'chunked',
  'gzip, chunked',
  '100-continue',
  'upgrade',
  'docker/1.5.0 go/go1.3.3 kernel/3.0 os/linux arch/amd64',
  `Basic ${'A'.repeat(4000)}`,
  'Basic Og==',
  `Bearer cay_${'a'.repeat(43)}`,
  'Bearer eyJhbGciOiJub25lIn0.e30.',
  'Token signature=a,repository="b",access=read',
  'application/json; charset=utf-16',
  'application/x-www-form-urlencoded',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'for="[::1]:80";proto=https;host=a',
  '198.51.100.9',
]

/** Values of JSON in the place of others. */
const JSON_TEXTS = [
  'null',
  '[]',
  '{}',
  '-0',
  '1e400',
  '"\\ud800"',
  '12345678901234567890',
  '{"__proto__":{"a":1}}',
  `"${'x'.repeat(MANY)}"`,
  `[${'0,'.repeat(MANY)}0]`,
  '['.repeat(MANY) + ']'.repeat(MANY),
  `${'{"a":'.repeat(90)}1${'}'.repeat(90)}`,
  `{${Array.from({ length: MANY }, (_, i) => `"k${i}":"v"`).join(',')}}`,
]

const MUTATIONS: Mutation[] = [
  (request, random) => ({
    ...request,
    method:
      random.pick(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'get', 'BREW', '']) ??
      '',
  }),
  (request, random) => ({ ...request, target: spliced(request.target, textOf(random), random) }),
  (request, random) => ({
    ...request,
    target: `${request.target}${random.pick(['/', '//', '?', '&', '#', '%'])}`,
  }),
  (request, random) => ({
    ...request,
    target: request.target.replace(/=[^&]*/, `=${encoded(textOf(random))}`),
  }),
  (request, random) => ({
    ...request,
    target: replaced(request.target, /[^/?&=]+/g, encoded(textOf(random)), random),
  }),
  (request, random) => withHeader(request, random.pick(HEADERS) ?? '', random.pick(VALUES) ?? ''),
  (request, random) => withHeader(request, spliced('X-A', textOf(random), random), 'x'),
  (request, random) => ({ ...request, headers: request.headers.filter(() => !random.chance(0.3)) }),
  (request, random) => ({
    ...request,
    headers: request.headers.flatMap((one) => (random.chance(0.3) ? [one, one] : [one])),
  }),
  (request, random) => ({
    ...request,
    headers: request.headers.map(([name, value]) => [
      name,
      random.chance(0.3) ? spliced(value, textOf(random), random) : value,
    ]),
  }),
  (request, random) => withBody(request, request.body.slice(0, random.below(request.body.length + 1))),
  (request, random) => withBody(request, flipped(request.body, random)),
  (request, random) => withBody(request, concat([request.body, flipped(request.body, random)])),
  (request, random) =>
    withBody(
      request,
      bytesOf(replaced(textIn(request.body), JSON_VALUE, random.pick(JSON_TEXTS) ?? '', random)),
    ),
  (request, random) =>
    withBody(
      request,
      bytesOf(replaced(textIn(request.body), JSON_VALUE, JSON.stringify(textOf(random)), random)),
    ),
  (request, random) => withBody(request, bytesOf(random.pick(JSON_TEXTS) ?? '')),
  (request, random) => withBody(request, new Uint8Array(random.below(200_000))),
  (request, random) => ({ ...request, body: request.body.slice(0, random.below(request.body.length + 1)) }),
  (request, random) => chunked(request, random),
]

const JSON_VALUE = /"(?:[^"\\]|\\.)*"|-?\d+|true|false|null/g

/** Changes a request in one to four ways, and how it is sent; what results is the same for the same random numbers. */
export function mutate(request: Recorded, others: readonly Recorded[], random: Random): Attack {
  let changed = withHeader(request, 'X-Forwarded-For', `203.0.113.${random.below(250)}`)
  for (let count = 1 + random.below(4); count > 0; count--) {
    changed = random.pick(MUTATIONS)?.(changed, random) ?? changed
  }
  let bytes = serialize(changed, random)
  if (random.chance(0.1)) bytes = concat([bytes, serialize(random.pick(others) ?? request, random)])
  if (random.chance(0.1)) bytes = flipped(bytes, random)
  if (random.chance(0.05)) bytes = bytes.slice(0, random.below(bytes.length + 1))
  return { parts: split(bytes, random), isReset: random.chance(0.05) }
}

function serialize({ method, target, headers, body }: Recorded, random: Random): Uint8Array {
  const version = random.chance(0.03) ? random.pick(['HTTP/1.0', 'HTTP/2', 'HTTP/9.9', '']) : 'HTTP/1.1'
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return concat([bytesOf(`${method} ${target} ${version}\r\n${lines}\r\n`), body])
}

/** The body in chunks, some of which are not as they should be. */
function chunked(request: Recorded, random: Random): Recorded {
  const parts: Uint8Array[] = []
  for (let at = 0; at < request.body.length; ) {
    const part = request.body.subarray(at, at + 1 + random.below(100_000))
    at += part.length
    const extension = random.pick(['', '', '', ';a=b', ';a="b;c"', ' ', ';'.repeat(100)])
    const size = random.chance(0.1)
      ? random.pick(['-1', 'ffffffffffffffff', 'g', '', '0x1'])
      : part.length.toString(16)
    parts.push(bytesOf(`${size}${extension}\r\n`), part, bytesOf('\r\n'))
  }
  parts.push(bytesOf(random.pick(['0\r\n\r\n', '0\r\n\r\n', '0\r\nX-T: 1\r\n\r\n', '0\r\n', '']) ?? ''))
  const headers = request.headers.filter(([name]) => name !== 'Content-Length' || random.chance(0.1))
  return { ...request, headers: [...headers, ['Transfer-Encoding', 'chunked']], body: concat(parts) }
}

function withHeader(request: Recorded, name: string, value: string): Recorded {
  return { ...request, headers: [...request.headers, [name, value]] }
}

/** With a length that fits. */
function withBody(request: Recorded, body: Uint8Array): Recorded {
  const headers = request.headers.filter(([name]) => name !== 'Content-Length')
  return { ...request, body, headers: [...headers, ['Content-Length', String(body.length)]] }
}

function flipped(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = new Uint8Array(bytes)
  for (let count = 1 + random.below(8); count > 0 && copy.length > 0; count--)
    copy[random.below(copy.length)] = random.below(256)
  return copy
}

function spliced(text: string, other: string, random: Random): string {
  const at = random.below(text.length + 1)
  return `${text.slice(0, at)}${other}${text.slice(random.chance(0.5) ? at : text.length)}`
}

/** With one of what the pattern finds replaced. */
function replaced(text: string, pattern: RegExp, by: string, random: Random): string {
  const found = random.pick([...text.matchAll(pattern)])
  return found === undefined
    ? text
    : `${text.slice(0, found.index)}${by}${text.slice(found.index + found[0].length)}`
}

function split(bytes: Uint8Array, random: Random): Uint8Array[] {
  if (!random.chance(0.2)) return [bytes]
  const parts: Uint8Array[] = []
  for (let at = 0; at < bytes.length && parts.length < 50; ) {
    const size = parts.length === 49 ? bytes.length : 1 + random.below(Math.max(2, bytes.length / 4))
    parts.push(bytes.subarray(at, at + size))
    at += size
  }
  return parts
}

function textOf(random: Random): string {
  return random.pick(TEXTS) ?? ''
}

function encoded(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : '%ED%A0%80'
}

function bytesOf(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text))
}

function textIn(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

function concat(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
