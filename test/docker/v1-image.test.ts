import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { v1Json } from '../../src/docker/v1.ts'

const id = 'a'.repeat(64)
const parent = 'b'.repeat(64)
const of = (text: string) => JSON.parse(v1Json(text, { id, parent, size: 5 }))

test('V1 image: its id, parent and size replace those in the source, in any letter case', () => {
  expect(of('{"id":"theimage","Parent":"x","PARENT":"y","Size":1,"os":"linux"}')).toEqual({
    os: 'linux',
    id,
    parent,
    Size: 5,
  })
})

test('V1 image: the base has no parent', () => {
  const json = v1Json('{"parent":"x"}', { id, parent: undefined, size: 5 })
  expect(JSON.parse(json)).toEqual({ id, Size: 5 })
})

test.each([
  ['"2026-01-02T03:04:05.678901234Z"', true],
  ['"2026-01-02T03:04:05+01:00"', true],
  ['"yesterday"', false],
  ['5', false],
  ['null', false],
])('V1 image: a time is kept if Docker can parse it: %s', (created, kept) => {
  expect('created' in of(`{"created":${created}}`)).toBe(kept)
})

test.each(['', 'null', '[]', '5', '{"a":', '\u0000'])(
  'V1 image: text that is not a JSON object is ignored: %j',
  (text) => {
    expect(of(text)).toEqual({ id, parent, Size: 5 })
  },
)

test.each([101, 50_000])('V1 image: JSON nested %d deep is ignored', (depth) => {
  expect(of(`{"os":"linux","config":${'['.repeat(depth)}${']'.repeat(depth)}}`)).toEqual({
    id,
    parent,
    Size: 5,
  })
})

test('V1 image: any text gives an image with this id', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(of(text)).toMatchObject({ id, parent, Size: 5 })
    }),
  )
})
