import { expect, test } from 'bun:test'
import type { WrittenPart } from '../../src/domain/blob-body.ts'
import { RecentParts } from '../../src/proxy/recent-parts.ts'

const content = Uint8Array.from({ length: 100 }, (_, at) => at)

/** A part of the content, until `isHere` is set to false. */
function partOf(start: number, end: number): WrittenPart & { isHere: boolean } {
  const bytes = content.subarray(start, end)
  const part = { length: bytes.length, isHere: true, bytes: () => (part.isHere ? bytes : undefined) }
  return part
}

test('recent parts: bytes are found in the part that has them, to its end at most', () => {
  const recent = new RecentParts()
  recent.add(20, partOf(20, 50))
  recent.add(50, partOf(50, 60))
  expect(recent.find(20, 10)).toEqual(content.subarray(20, 30))
  expect(recent.find(45, 10)).toEqual(content.subarray(45, 50))
  expect(recent.find(50, 100)).toEqual(content.subarray(50, 60))
  for (const at of [0, 19, 60, 99]) expect(recent.find(at, 10)).toBeUndefined()
})

test('recent parts: bytes whose memory is reused are not found', () => {
  const recent = new RecentParts()
  const parts = [partOf(0, 10), partOf(10, 20)]
  recent.add(0, parts[0]!)
  recent.add(10, parts[1]!)
  parts[0]!.isHere = false
  expect([recent.find(5, 5), recent.find(15, 5)]).toEqual([undefined, content.subarray(15, 20)])
  recent.add(20, partOf(20, 30))
  expect(recent.find(5, 5)).toBeUndefined()
})

test('recent parts: only the last ones are kept, also while the memory of older ones is not reused', () => {
  const recent = new RecentParts()
  const part = partOf(0, 1)
  for (let at = 0; at < 10_000; at++) recent.add(at, part)
  expect([recent.find(0, 1), recent.find(9000, 1)]).toEqual([undefined, undefined])
  expect(recent.find(9999, 1)).toEqual(content.subarray(0, 1))
})
