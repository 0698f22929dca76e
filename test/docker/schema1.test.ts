import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { formatSchema1, isSchema1, parseSchema1 } from '../../src/docker/schema1.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { digestOf, json } from '../support/content.ts'
import { schema1Text } from '../support/jws.ts'
import { codeOf, millisecondsOf } from '../support/parsing.ts'

const layer = parseDigest(digestOf(Uint8Array.of(1)))
const parseText = (text: string) => parseSchema1(new TextEncoder().encode(text))
const parse = (document: unknown) => parseSchema1(json(document).bytes)
const good = JSON.parse(schema1Text('a/b', 'v1', [layer, layer]))

describe('a manifest of schema 1', () => {
  test('is read', () => {
    const { layers, ...rest } = parseText(schema1Text('a/b', 'v1', [layer, layer]))
    expect(rest).toEqual({ name: 'a/b', tag: 'v1', architecture: 'amd64' })
    expect(layers.map(({ blobSum }) => blobSum)).toEqual([layer, layer])
    const [leaf, base] = layers.map(({ v1Compatibility }) => JSON.parse(v1Compatibility))
    expect([leaf.parent, base.parent]).toEqual([base.id, undefined])
  })

  test('may lack an architecture and a tag', () => {
    expect(parse({ ...good, tag: undefined, architecture: undefined })).toMatchObject({
      tag: '',
      architecture: '',
    })
  })

  test('round-trips', () => {
    const texts = fc.string({ unit: 'grapheme' })
    const layers = fc.array(fc.record({ blobSum: fc.constant(layer), v1Compatibility: texts }), {
      minLength: 1,
    })
    fc.assert(
      fc.property(fc.record({ name: texts, tag: texts, architecture: texts, layers }), (schema1) => {
        expect(parseText(formatSchema1(schema1))).toEqual(schema1)
      }),
    )
  })

  const isOne = (document: unknown, type?: string) => isSchema1(json(document).bytes, type)
  test('is recognized by its type, or by its content if the type says nothing', () => {
    for (const type of ['json', 'prettyjws', 'PrettyJWS']) {
      expect(isOne({}, `application/vnd.docker.distribution.manifest.v1+${type}`)).toBe(true)
    }
    expect(isOne(good)).toBe(true)
    expect(isOne(good, 'application/json')).toBe(true)
    expect(isOne({ schemaVersion: 2 }, 'application/json')).toBe(false)
    expect(isOne({ schemaVersion: 1 })).toBe(false)
    expect(isOne(good, 'application/vnd.oci.image.manifest.v1+json')).toBe(false)
  })
})

describe('MANIFEST_INVALID says what is wrong', () => {
  test.each<[document: unknown, message: RegExp]>([
    [[], /not a JSON object/],
    [{ ...good, schemaVersion: 2 }, /schemaVersion is not 1/],
    [{ ...good, name: undefined }, /no name/],
    [{ ...good, tag: 7 }, /tag/],
    [{ ...good, fsLayers: undefined }, /fsLayers is not a list/],
    [{ ...good, fsLayers: [] }, /fsLayers is not a list/],
    [{ ...good, fsLayers: [{ blobSum: layer }] }, /must have 1 entries/],
    [{ ...good, history: undefined }, /must have 2 entries/],
    [{ ...good, fsLayers: [null, null] }, /fsLayers\[0\]/],
    [{ ...good, fsLayers: [{ blobSum: layer }, { blobSum: 'sha256:1' }] }, /fsLayers\[1\].blobSum/],
    [{ ...good, history: ['a', 'b'] }, /history\[0\]/],
    [{ ...good, history: [{ v1Compatibility: '{}' }, { v1Compatibility: {} }] }, /history\[1\]/],
  ])('%j', (document, message) => {
    expect(codeOf(() => parse(document))).toBe('MANIFEST_INVALID')
    expect(() => parse(document)).toThrow(message)
  })

  test('many layers are parsed in linear time', () => {
    const history = Array(20_000).fill({ v1Compatibility: '{}' })
    const document = { schemaVersion: 1, name: 'a', tag: 'b', architecture: 'amd64', history }
    for (const fsLayers of [[], Array(20_000).fill({ blobSum: layer })])
      expect(millisecondsOf(() => codeOf(() => parse({ ...document, fsLayers })))).toBeLessThan(500)
  })

  test('no input throws anything else', () => {
    const fields = fc.constantFrom('schemaVersion', 'name', 'tag', 'fsLayers', 'history', '__proto__')
    const values = fc.oneof(fc.constantFrom<unknown>(1, 'a', [{ blobSum: layer }], [null]), fc.jsonValue())
    const documents = fc.oneof(
      fc.json(),
      fc.dictionary(fields, values).map((it) => JSON.stringify(it)),
    )
    fc.assert(
      fc.property(documents, (text) => {
        expect(['none', 'MANIFEST_INVALID']).toContain(codeOf(() => parseText(text)))
      }),
      { numRuns: 1000 },
    )
  })
})
