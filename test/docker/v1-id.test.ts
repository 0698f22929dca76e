import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { formatV1Id, isV1IdOf, parseV1Id } from '../../src/docker/v1.ts'
import { digestOf } from '../../src/oci/reference.ts'

const key = Buffer.alloc(32, 1)
const digest = digestOf(Buffer.from('a'))
const manifest = { id: 7, repositoryId: 3, digest }

describe('an id', () => {
  test('is 64 hex characters that encode where the image is', () => {
    const row = fc.integer({ min: 0, max: 2 ** 48 - 1 })
    fc.assert(
      fc.property(row, fc.integer({ min: 0, max: 65_535 }), (id, layer) => {
        const text = formatV1Id(key, { ...manifest, id }, layer)
        expect(text).toMatch(/^[0-9a-f]{64}$/)
        expect(parseV1Id(text)).toEqual({ manifest: id, layer })
        expect(isV1IdOf(key, text, { ...manifest, id })).toBe(true)
      }),
    )
  })

  const id = formatV1Id(key, manifest, 2)
  test.each([
    ['another key', isV1IdOf(Buffer.alloc(32, 2), id, manifest)],
    ['another manifest in the row', isV1IdOf(key, id, { ...manifest, digest: digestOf(Buffer.alloc(0)) })],
    ['another repository', isV1IdOf(key, id, { ...manifest, repositoryId: 4 })],
    ['another layer', isV1IdOf(key, id.slice(0, 15) + (id[15] === '3' ? '4' : '3') + id.slice(16), manifest)],
    ['a changed proof', isV1IdOf(key, id.slice(0, -1) + (id.endsWith('0') ? '1' : '0'), manifest)],
  ])('is not valid for %s', (_, isIt) => expect(isIt).toBe(false))

  test.each(['', 'theimage', id.slice(1), `${id}0`, id.toUpperCase(), `${id}\n`])('is not %j', (text) =>
    expect(parseV1Id(text)).toBeUndefined(),
  )
})
