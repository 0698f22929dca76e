import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { readImageConfig, readV1History } from '../../src/oci/image-config.ts'
import { objectOf, parseLeniently, timeOf } from '../../src/oci/lenient-json.ts'
import { readParts } from '../../src/oci/manifest-parts.ts'

/** JSON whose members have the names that are looked for, and any values. */
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

describe('what is shown of a manifest or a config', () => {
  test('is read of any JSON, and what is malformed is left out', () => {
    fc.assert(
      fc.property(document, (value) => {
        const json = parseLeniently(JSON.stringify(value) ?? '')
        const { layers, children, config, subject } = readParts(json)
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

  test('is nothing where the bytes are no JSON object', () => {
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
