import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseManifest } from '../../src/oci/manifest.ts'
import * as content from '../support/content.ts'
import { codeOf, longInputs, millisecondsOf } from '../support/parsing.ts'

const { OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT } = content
const one = content.descriptor(content.named('one'), 'application/x.one')
const two = content.descriptor(content.named('two'), 'application/x.two')
const foreign = { ...two, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }
const image = { schemaVersion: 2, config: one, layers: [] }

const parse = (document: unknown, type: string | undefined) =>
  parseManifest(content.json(document).bytes, type)
const parseText = (text: string, type?: string) => parseManifest(new TextEncoder().encode(text), type)

describe('a parsed manifest', () => {
  test.each<[name: string, document: object, type: string | undefined, expected: object]>([
    [
      'an image',
      { ...image, layers: [two, two], annotations: { a: 'b' } },
      OCI_MANIFEST,
      {
        mediaType: OCI_MANIFEST,
        artifactType: one.mediaType,
        subject: undefined,
        annotations: { a: 'b' },
        references: [
          { digest: one.digest, role: 'config' },
          { digest: two.digest, role: 'layer' },
        ],
      },
    ],
    [
      'an image of Docker',
      { ...image, layers: [foreign] },
      DOCKER_MANIFEST,
      {
        references: [
          { digest: one.digest, role: 'config' },
          { digest: two.digest, role: 'foreign' },
        ],
      },
    ],
    [
      'a layer that is foreign and not',
      { ...image, layers: [foreign, two] },
      OCI_MANIFEST,
      {
        references: [
          { digest: one.digest, role: 'config' },
          { digest: two.digest, role: 'layer' },
        ],
      },
    ],
    [
      'an index',
      { schemaVersion: 2, manifests: [one, two] },
      OCI_INDEX,
      {
        artifactType: undefined,
        references: [
          { digest: one.digest, role: 'child' },
          { digest: two.digest, role: 'child' },
        ],
      },
    ],
    ['an empty index', { schemaVersion: 2, manifests: [] }, OCI_INDEX, { references: [] }],
    [
      'a list of Docker',
      { schemaVersion: 2, manifests: [one] },
      DOCKER_LIST,
      { references: [{ digest: one.digest, role: 'child' }] },
    ],
    [
      'an index with a type and a subject',
      { schemaVersion: 2, manifests: [], artifactType: 'a/b', subject: two },
      OCI_INDEX,
      { artifactType: 'a/b', subject: two.digest, references: [] },
    ],
    [
      'an artifact',
      { ...image, artifactType: 'a/b', subject: two },
      OCI_MANIFEST,
      { artifactType: 'a/b', subject: two.digest },
    ],
    [
      'an old artifact manifest',
      { mediaType: OCI_ARTIFACT, artifactType: 'a/b', blobs: [one] },
      OCI_ARTIFACT,
      { artifactType: 'a/b', references: [{ digest: one.digest, role: 'blob' }] },
    ],
    [
      'a type of nobody',
      { whatever: 1 },
      'application/x.unheard',
      { mediaType: 'application/x.unheard', artifactType: undefined, references: [] },
    ],
    ['its own media type', { ...image, mediaType: OCI_MANIFEST }, undefined, { mediaType: OCI_MANIFEST }],
    [
      'null where a list could be',
      { schemaVersion: 2, manifests: null, annotations: null, subject: null },
      OCI_INDEX,
      { references: [], annotations: undefined },
    ],
    ['unknown fields', { ...image, future: { deep: [1] } }, OCI_MANIFEST, { mediaType: OCI_MANIFEST }],
  ])('%s', (_, document, type, expected) => expect(parse(document, type)).toMatchObject(expected))
})

describe('MANIFEST_INVALID says what is wrong', () => {
  test.each<[document: object | string, type: string | undefined, message: RegExp]>([
    ['', OCI_MANIFEST, /not JSON/],
    ['{', OCI_MANIFEST, /not JSON/],
    ['[]', OCI_MANIFEST, /not a JSON object/],
    ['"text"', OCI_MANIFEST, /not a JSON object/],
    ['null', OCI_MANIFEST, /not a JSON object/],
    [image, undefined, /no Content-Type/],
    [{ ...image, mediaType: OCI_INDEX }, OCI_MANIFEST, /Content-Type is .*manifest.v1.*mediaType is .*index/],
    [{ ...image, mediaType: 7 }, OCI_MANIFEST, /mediaType is not a string/],
    [{ ...image, mediaType: 'a/b\r\nc: d' }, undefined, /mediaType "a\/b.* is not a media type/],
    [{ ...image, mediaType: 'a/\u0100' }, undefined, /is not a media type/],
    [{ config: one }, OCI_MANIFEST, /schemaVersion/],
    [{ ...image, schemaVersion: '2' }, OCI_MANIFEST, /schemaVersion/],
    [
      { schemaVersion: 1, fsLayers: [] },
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      /schema 1/,
    ],
    [{ ...image, manifests: [] }, OCI_MANIFEST, /no "manifests"/],
    [{ schemaVersion: 2, manifests: [], layers: [] }, OCI_INDEX, /no "config" or "layers"/],
    [{ schemaVersion: 2, layers: [] }, OCI_MANIFEST, /no config/],
    [{ schemaVersion: 2, manifests: {} }, OCI_INDEX, /manifests is not an array/],
    [{ ...image, layers: [one, 'x'] }, OCI_MANIFEST, /layers\[1\] is not a descriptor/],
    [{ ...image, layers: [{ ...one, mediaType: '' }] }, OCI_MANIFEST, /layers\[0\] has no mediaType/],
    [{ ...image, layers: [{ ...one, size: -1 }] }, OCI_MANIFEST, /layers\[0\]\.size/],
    [{ ...image, layers: [{ ...one, size: 1.5 }] }, OCI_MANIFEST, /size/],
    [{ ...image, layers: [{ ...one, size: '1' }] }, OCI_MANIFEST, /size/],
    [{ ...image, layers: [{ ...one, size: 2 ** 53 }] }, OCI_MANIFEST, /size/],
    [{ ...image, layers: [{ ...one, digest: 'sha256:1' }] }, OCI_MANIFEST, /layers\[0\]\.digest "sha256:1"/],
    [{ ...image, layers: [{ mediaType: 'a/b', size: 1 }] }, OCI_MANIFEST, /layers\[0\]\.digest undefined/],
    [{ ...image, config: { ...one, digest: null } }, OCI_MANIFEST, /config\.digest/],
    [{ ...image, subject: {} }, OCI_MANIFEST, /subject/],
    [{ ...image, artifactType: 1 }, OCI_MANIFEST, /artifactType/],
    [{ ...image, annotations: { key: 1 } }, OCI_MANIFEST, /annotation "key" is not a string/],
    [{ ...image, annotations: [] }, OCI_MANIFEST, /annotations is not an object/],
    [{ blobs: [1] }, OCI_ARTIFACT, /blobs\[0\]/],
  ])('%j as %s', (document, type, message) => {
    const run = () => (typeof document === 'string' ? parseText(document, type) : parse(document, type))
    expect(codeOf(run)).toBe('MANIFEST_INVALID')
    expect(run).toThrow(message)
  })

  test('bytes that are not UTF-8', () => {
    expect(codeOf(() => parseManifest(Uint8Array.of(0x7b, 0xff, 0x7d), OCI_MANIFEST))).toBe(
      'MANIFEST_INVALID',
    )
  })
})

describe('any manifest', () => {
  const types = fc.constantFrom(
    OCI_MANIFEST,
    OCI_INDEX,
    DOCKER_MANIFEST,
    DOCKER_LIST,
    OCI_ARTIFACT,
    'a/b',
    undefined,
  )
  const fields = fc.constantFrom(
    'schemaVersion',
    'mediaType',
    'config',
    'layers',
    'manifests',
    'blobs',
    'subject',
    'annotations',
    'artifactType',
    '__proto__',
  )
  const values = fc.oneof(fc.constantFrom<unknown>(2, one, foreign, [one], [], {}), fc.jsonValue())

  test('is parsed or throws MANIFEST_INVALID', () => {
    const documents = fc.oneof(
      fc.json(),
      fc.dictionary(fields, values).map((document) => JSON.stringify(document)),
    )
    fc.assert(
      fc.property(documents, types, (text, type) => {
        expect(['none', 'MANIFEST_INVALID']).toContain(codeOf(() => parseText(text, type)))
      }),
      { numRuns: 1000 },
    )
    fc.assert(
      fc.property(fc.uint8Array(), types, (bytes, type) => {
        expect(codeOf(() => parseManifest(bytes, type))).toBe('MANIFEST_INVALID')
      }),
    )
  })

  test('nested a million deep is refused without a crash', () => {
    for (const text of ['['.repeat(1e6), `{"a":${'['.repeat(1e6)}`, '{"a":'.repeat(1e6)]) {
      expect(codeOf(() => parseText(text, OCI_MANIFEST))).toBe('MANIFEST_INVALID')
    }
  })

  test('with a deeply nested field is refused for that field', () => {
    const nested = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
    const text = JSON.stringify({ ...image, config: { ...one, digest: 0 } }).replace(
      '"digest":0',
      `"digest":${nested}`,
    )
    expect(codeOf(() => parseText(text, OCI_MANIFEST))).toBe('MANIFEST_INVALID')
  })

  test('is parsed in linear time', () => {
    for (const text of longInputs(100_000)) {
      const document = { ...image, artifactType: text, layers: [{ ...one, digest: text }] }
      expect(millisecondsOf(() => codeOf(() => parse(document, OCI_MANIFEST)))).toBeLessThan(50)
    }
    const many = { ...image, layers: Array(20_000).fill(one) }
    expect(millisecondsOf(() => codeOf(() => parse(many, OCI_MANIFEST)))).toBeLessThan(500)
  })
})
