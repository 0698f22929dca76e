import { parseSchema1 } from '../../src/docker/schema1.ts'
import { parseSignedDocument } from '../../src/docker/signed-document.ts'
import { parseV1Path } from '../../src/docker-v1/exchange.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { isNestedDeep } from '../../src/oci/json.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { parseAccept, parseContentType } from '../../src/oci/media-type.ts'
import { parseContentRange, parseRange } from '../../src/oci/range.ts'
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts'
import { parsePath } from '../../src/registry/exchange.ts'
import { manifestMediaType } from '../lib/registry.ts'
import { absolute, type Case } from './lib/case.ts'
import type { Row } from './lib/measurement.ts'

const bytes = 32 * 1024
const factor = 8
const repetitions = 7
/** Of the time a byte, from the short input to the long one: 1 is linear, the factor is quadratic. */
const growthMax = 2

const descriptor = `{"mediaType":"a/b","size":1,"digest":"sha256:${'a'.repeat(64)}"}`
const protectedHeader = Buffer.from('{"formatLength":2,"formatTail":"Cn0"}').toString('base64url')

/** What may make a parser look at the same bytes again and again: pieces, repeated between a beginning and an end. */
const hostile: Record<string, [begin: string, piece: string, end: string][]> = {
  text: [
    ['', 'a', ''],
    ['', 'a-', '!'],
    ['a', '-', '!'],
    ['', 'a__a.', '/'],
    ['', 'a/', ''],
    ['sha256:', 'a', ''],
    ['', 'a+', ':'],
    ['', '%2F', ''],
  ],
  header: [
    ['', ';', ''],
    ['', ' ', 'a/b'],
    ['a/b', ' ', ';'],
    ['', 'a/b;q=1,', ''],
    ['', ',', ''],
    ['', 'a/b;x="', ''],
    ['bytes=', '0-1,', ''],
    ['bytes=', '1', '-'],
    ['', '1', '-1'],
  ],
  path: [
    ['/v2/', 'a/', 'manifests/x'],
    ['/v2/', 'manifests/', 'x'],
    ['/v2/', 'blobs/uploads/', ''],
    ['/v1/repositories/', 'tags/', ''],
    ['/v1/images/', 'a', '/json'],
  ],
  json: [
    ['', '[', ''],
    ['{"a":', '{"a":', '1'],
    ['{"a":"', '\\\\', '"}'],
    ['{"a":"', '\\"', ''],
    ['{"layers":[', `${descriptor},`, `${descriptor}]}`],
    ['{"manifests":[', `${descriptor},`, `${descriptor}]}`],
    ['{"annotations":{', '"a":"b",', '"c":"d"}}'],
    ['{"schemaVersion":1,"history":[', '{"v1Compatibility":"{}"},', '{}],"fsLayers":[]}'],
    ['{"signatures":[', `{"protected":"${protectedHeader}"},`, '{}]\n}'],
    ['{', '\n   ', '}'],
  ],
}

const utf8 = (parse: (bytes: Uint8Array) => unknown) => (text: string) => parse(Buffer.from(text))

const parsers: [name: string, family: keyof typeof hostile, parse: (text: string) => unknown][] = [
  ['repository name', 'text', parseRepositoryName],
  ['reference', 'text', parseReference],
  ['digest', 'text', parseDigest],
  ['Accept', 'header', parseAccept],
  ['Content-Type', 'header', parseContentType],
  ['Range', 'header', (text) => parseRange(text, 1000)],
  ['Content-Range', 'header', parseContentRange],
  ['path of /v2', 'path', parsePath],
  ['path of /v1', 'path', parseV1Path],
  ['depth of JSON', 'json', utf8(isNestedDeep)],
  ['manifest', 'json', utf8((json) => parseManifest(json, manifestMediaType))],
  ['schema 1', 'json', utf8(parseSchema1)],
  ['signed schema 1', 'json', utf8(parseSignedDocument)],
]

/** Whether parsers of what clients send take a time that grows with its length, and no faster. */
export const parserCases: Case[] = [
  {
    name: 'parsers',
    title: () => `time a byte of hostile input, ${factor * (bytes / 1024)} KiB beside ${bytes / 1024} KiB`,
    unit: 'x',
    reference: 'manifest',
    targets: parsers.map(([name]) => absolute(name, 'at most', growthMax)),
    run: async () => parsers.map(measure),
  },
]

function measure([name, family, parse]: (typeof parsers)[number]): Row {
  const growths = (hostile[family] ?? []).map(([begin, piece, end]) => {
    const input = (size: number) => begin + piece.repeat(Math.ceil(size / piece.length)) + end
    const [short, long] = [input(bytes), input(bytes * factor)]
    const milliseconds = timeOf(parse, long)
    return { value: milliseconds / (timeOf(parse, short) * factor), milliseconds, piece }
  })
  // What is refused at a glance takes no time to compare.
  const slow = growths.filter(({ milliseconds }) => milliseconds > 0.05)
  const worst = slow.reduce((a, b) => (b.value > a.value ? b : a), { value: 0, milliseconds: 0, piece: '' })
  const note =
    worst.piece === ''
      ? 'refused at a glance'
      : `${worst.milliseconds.toFixed(2)} ms of ${worst.piece.slice(0, 20)}`
  return { name, value: worst.value, note }
}

/** The least of some times, in milliseconds. */
function timeOf(parse: (text: string) => unknown, text: string): number {
  const times = Array.from({ length: repetitions }, () => {
    const began = performance.now()
    try {
      parse(text)
    } catch {
      // Most of it is refused.
    }
    return performance.now() - began
  })
  return Math.min(...times)
}
