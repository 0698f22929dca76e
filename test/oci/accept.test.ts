import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { accepts, parseAccept } from '../../src/oci/manifest.ts'
import { DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../support/content.ts'
import { codeOf, longInputs } from '../support/parsing.ts'

const read = (header: string | null) => {
  const { types, ranges, any } = parseAccept(header)
  return [[...types], [...ranges], any]
}

test.each<[header: string | null, expected: unknown]>([
  [null, [[], [], false]],
  ['', [[], [], false]],
  [OCI_MANIFEST, [[OCI_MANIFEST], [], false]],
  [`${OCI_INDEX}, ${OCI_MANIFEST}`, [[OCI_INDEX, OCI_MANIFEST], [], false]],
  ['*/*', [[], [], true]],
  ['A/B+C;q=0.5;version=1 , text/*;q=0.1,*/*;q=0.01', [['a/b+c'], ['text'], true]],
  ['a/b;q=0, c/d; q=0.000, */* ;Q=0.0', [[], [], false]],
  [' , ;q=1,,a/b', [['a/b'], [], false]],
])('%j', (header, expected) => expect(read(header)).toEqual(expected as ReturnType<typeof read>))

describe('Accept: a type is accepted', () => {
  test.each([
    [OCI_MANIFEST, OCI_MANIFEST, true],
    [OCI_MANIFEST.toUpperCase(), OCI_MANIFEST, true],
    ['application/*', OCI_MANIFEST, true],
    ['text/*', OCI_MANIFEST, false],
    ['applicatio/*', OCI_MANIFEST, false],
    [`${DOCKER_MANIFEST}, */*`, OCI_MANIFEST, true],
    ['*/*', OCI_MANIFEST, false],
    [DOCKER_MANIFEST, OCI_MANIFEST, false],
    ['', OCI_MANIFEST, false],
  ])('by %j: %s is %p', (header, type, expected) => {
    expect(accepts(parseAccept(header), type)).toBe(expected)
  })
})

test('Accept: any header is parsed, up to a limit of types', () => {
  const parts = fc.constantFrom('a/b', '*/*', 'a/*', '/', ',', ';', 'q=0', ' ', '*', '"', 'é')
  fc.assert(
    fc.property(fc.array(fc.oneof(parts, fc.string())), (words) => {
      expect(codeOf(() => accepts(parseAccept(words.join('')), 'a/b'))).toBe('none')
    }),
  )
  const { types } = parseAccept(Array.from({ length: 10_000 }, (_, index) => `a/${index}`).join(','))
  expect(types.size).toBe(100)
})

test('Accept: a type that is accepted by name is accepted among any others', () => {
  const type = fc.stringMatching(/^[a-z]{1,9}\/[a-z0-9.+-]{1,30}$/)
  fc.assert(
    fc.property(type, fc.array(type, { maxLength: 9 }), (one, others) => {
      expect(accepts(parseAccept([...others, one].join(', ')), one)).toBe(true)
      expect(accepts(parseAccept(others.join(',')), one)).toBe(others.includes(one))
    }),
  )
})

test('Accept: a long run of one character is parsed in linear time', () => {
  for (const long of longInputs(100_000)) expect(codeOf(() => parseAccept(long))).toBe('none')
})
