import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  objectOf,
  parseLeniently,
  readImageConfig,
  readV1History,
  timeOf,
} from '../../src/oci/image-config.ts'
import { findPlatform, readParts } from '../../src/oci/manifest.ts'
import { descriptor, imageIndex, imageManifest, json, named, OCI_MANIFEST } from '../support/content.ts'

const [one, two] = [named('one'), named('two')]
const amd64 = { os: 'linux', architecture: 'amd64' }
const entry = (content: string, platform?: unknown) => descriptor(named(content), OCI_MANIFEST, { platform })

/** Arbitrary JSON whose members have the names that are read. */
const document = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    fc.constantFrom(null, true, -1, 1e300, '', 'linux', `sha256:${'0'.repeat(64)}`, '2026-01-01T00:00:00Z'),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.constantFrom(
        ...[
          'config',
          'layers',
          'blobs',
          'manifests',
          'subject',
          'annotations',
          'fsLayers',
          'history',
          'digest',
        ],
        ...[
          'schemaVersion',
          'v1Compatibility',
          'blobSum',
          'platform',
          'os',
          'architecture',
          'created',
          'size',
        ],
        ...[
          'Labels',
          'Cmd',
          'Env',
          'ExposedPorts',
          'container_config',
          'created_by',
          'mediaType',
          '__proto__',
        ],
      ),
      tie('value'),
    ),
  ),
})).value

describe('the description of a manifest or a config', () => {
  test('can be read from any JSON, without malformed parts', () => {
    fc.assert(
      fc.property(document, (value) => {
        const text = JSON.stringify(value) ?? ''
        const json = parseLeniently(text)
        const { layers, children, config, subject } = readParts(Buffer.from(text))
        for (const part of [
          ...layers,
          ...children,
          ...(config ? [config] : []),
          ...(subject ? [subject] : []),
        ]) {
          expect(part.digest).toMatch(/^sha256:0{64}$/)
          expect(part.size).toBeGreaterThanOrEqual(0)
        }
        const image = readImageConfig(json)
        for (const texts of [image.command, image.environment, Object.values(image.labels)]) {
          expect(texts.every((text) => typeof text === 'string')).toBe(true)
        }
        readV1History(json)
      }),
    )
  })

  test('is empty when the bytes are not a JSON object', () => {
    for (const text of ['', '{', '[]', '5', 'null', '\u0000', '"x"']) expect(parseLeniently(text)).toEqual({})
    expect(parseLeniently(Uint8Array.of(0xff, 0xfe))).toEqual({})
    expect(objectOf([])).toEqual({})
  })

  test.each([
    ['2024-05-06T07:08:09.123456789Z', '2024-05-06T07:08:09.123Z'],
    ['2024-05-06T07:08:09+02:00', '2024-05-06T05:08:09.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['+020000-01-01T00:00:00Z', undefined],
    ['never', undefined],
    ['', undefined],
    [5, undefined],
    [null, undefined],
  ])('the time %p is %p', (value, expected) => expect(timeOf(value)).toBe(expected))

  test.each([
    ['/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'],
    ['/bin/sh -c #(nop) ADD file:1 in / ', 'ADD file:1 in /'],
    ['/bin/sh -c apk add curl', 'RUN apk add curl'],
    ['RUN /bin/sh -c make # buildkit', 'RUN /bin/sh -c make # buildkit'],
    ['', undefined],
  ])('the command %p is %p', (created_by, expected) => {
    expect(readImageConfig({ history: [{ created_by }] }).history[0]?.createdBy).toBe(expected)
  })
})

test('manifest parts: layers are in order, including repeated ones', () => {
  const image = readParts(imageManifest(one, [two, one, two], { artifactType: 'a/b' }).bytes)
  expect<string | undefined>(image.config?.digest).toBe(one.digest)
  expect<string[]>(image.layers.map(({ digest }) => digest)).toEqual([two.digest, one.digest, two.digest])
  expect(image.artifactType).toBe('a/b')
})

test('manifest parts: a manifest with a list that is too long has none', () => {
  const layers = Array.from({ length: 100_001 }, () => 0)
  expect(readParts(json({ artifactType: 'a/b', layers }).bytes).artifactType).toBeUndefined()
})

test.each<[name: string, entries: ReturnType<typeof entry>[], found: string | undefined]>([
  ['the only one', [entry('a', { os: 'linux', architecture: 'arm64' }), entry('b', amd64)], 'b'],
  ['the first of many', [entry('a', amd64), entry('b', amd64)], 'a'],
  ['one without a variant', [entry('a', { ...amd64, variant: 'v3' }), entry('b', amd64)], 'b'],
  ['one with a variant', [entry('a', { ...amd64, variant: 'v2' })], 'a'],
  ['none without a platform', [entry('a'), entry('b', null), entry('c', 'linux')], undefined],
  ['none of another system', [entry('a', { os: 'windows', architecture: 'amd64' })], undefined],
  ['none of an attestation', [entry('a', { os: 'unknown', architecture: 'unknown' })], undefined],
  ['none', [], undefined],
])('platform: of an index, %s', (_, entries, found) => {
  const digest = found === undefined ? undefined : named(found).digest
  expect<string | undefined>(findPlatform(readParts(imageIndex(entries).bytes), amd64)?.digest).toBe(digest)
})
