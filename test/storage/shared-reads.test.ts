import { expect, test } from 'bun:test'
import type { GrowingFile } from '../../src/storage/blob-store.ts'
import { SharedReads } from '../../src/storage/shared-reads.ts'

/** A file that records which ranges are read. */
function fileOf(bytes: Uint8Array): GrowingFile & { reads: [at: number, length: number][] } {
  const reads: [number, number][] = []
  return {
    reads,
    async read(into, at) {
      const part = bytes.subarray(at, at + into.length)
      into.set(part)
      reads.push([at, part.length])
      return part.length
    },
    async close() {},
  }
}

/** Reads a range like a client that follows the file. */
async function follow(reads: SharedReads, id: string, file: GrowingFile, start: number, end: number) {
  const parts: Uint8Array[] = []
  for (let at = start; at < end; ) {
    const part = await reads.use(id, file, at, end, (bytes) => Uint8Array.from(bytes))
    parts.push(part)
    at += part.length
  }
  return new Uint8Array(Buffer.concat(parts))
}

const content = Uint8Array.from({ length: 1000 }, (_, at) => at % 251)

test('shared reads: many clients of one file cause one read of each chunk', async () => {
  const reads = new SharedReads(1000, 100)
  const file = fileOf(content)
  const clients = await Promise.all([0, 0, 50].map((start) => follow(reads, 'a', file, start, 300)))
  expect(clients[0]).toEqual(content.subarray(0, 300))
  expect(clients[2]).toEqual(content.subarray(50, 300))
  expect(file.reads).toHaveLength(3)
})

test('shared reads: bytes that were just written are served from memory', async () => {
  const reads = new SharedReads(1000, 100)
  const file = fileOf(content)
  for (const [start, end] of [
    [0, 30],
    [30, 250],
    [250, 400],
  ] as const) {
    reads.keep('a', start, content.subarray(start, end))
    expect(await follow(reads, 'a', file, start, end)).toEqual(content.subarray(start, end))
  }
  expect(await follow(reads, 'a', file, 0, 400)).toEqual(content.subarray(0, 400))
  expect(file.reads).toEqual([])
})

test('shared reads: bytes that are no longer in memory are read from the file, and later ones come from memory again', async () => {
  const reads = new SharedReads(1000, 100)
  const file = fileOf(content)
  reads.keep('a', 20, content.subarray(20, 120))
  expect(await follow(reads, 'a', file, 0, 120)).toEqual(content.subarray(0, 120))
  expect(file.reads).toEqual([[0, 100]])
  reads.keep('a', 120, content.subarray(120, 180))
  reads.keep('a', 190, content.subarray(190, 200))
  expect(await follow(reads, 'a', file, 120, 200)).toEqual(content.subarray(120, 200))
  expect(file.reads).toEqual([
    [0, 100],
    [180, 20],
  ])
})

test('shared reads: clients of one file never get bytes of another', async () => {
  const reads = new SharedReads(200, 100)
  const [one, other] = [fileOf(content), fileOf(content.map((byte) => byte ^ 1))]
  reads.keep('a', 0, content)
  expect(await follow(reads, 'b', other, 0, 100)).toEqual(content.subarray(0, 100).map((byte) => byte ^ 1))
  expect(await follow(reads, 'a', one, 0, 1000)).toEqual(content)
})
