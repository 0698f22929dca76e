import { expect, test } from 'bun:test'
import type { GrowingFile } from '../../src/storage/fill-store.ts'
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

test('shared reads: clients of one file never get bytes of another', async () => {
  const reads = new SharedReads(200, 100)
  const [one, other] = [fileOf(content), fileOf(content.map((byte) => byte ^ 1))]
  expect(await follow(reads, 'a', one, 0, 100)).toEqual(content.subarray(0, 100))
  expect(await follow(reads, 'b', other, 0, 100)).toEqual(content.subarray(0, 100).map((byte) => byte ^ 1))
  expect(await follow(reads, 'a', one, 0, 1000)).toEqual(content)
})
