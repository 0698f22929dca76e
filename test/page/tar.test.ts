import { expect, test } from 'bun:test'
import { packTar } from 'modern-tar'
import { gunzip, readTar } from '../../src/page/values/tar.ts'

const file = (name: string, body: string) => ({ header: { name, size: body.length }, body })

const read = (archive: Uint8Array) =>
  [...readTar(archive)].map(({ path, bytes }) => [path, new TextDecoder().decode(bytes)])

const bodyOf = (bytes: Uint8Array<ArrayBuffer>) =>
  new Blob([bytes]).stream() as ReadableStream<Uint8Array<ArrayBuffer>>

test('tar: regular files are read with their folders', async () => {
  const long = 'b'.repeat(1000)
  const archive = await packTar([
    { header: { name: 'chart/', size: 0, type: 'directory' } },
    file('chart/README.md', 'hello'),
    file(`chart/${'deep/'.repeat(24)}long.txt`, long),
  ])
  expect(read(archive)).toEqual([
    ['chart/README.md', 'hello'],
    [`chart/${'deep/'.repeat(24)}long.txt`, long],
  ])
})

test('tar: a truncated or invalid archive has the files before the fault', async () => {
  expect(read(new TextEncoder().encode('x'.repeat(2000)))).toEqual([])
  const archive = await packTar([file('a', 'one'), file('b', 'two'.repeat(400))])
  expect(read(archive.subarray(0, 2048))).toEqual([['a', 'one']])
})

test('gunzip: a small stream that expands too far ends at the limit', async () => {
  const bomb = Bun.gzipSync(new Uint8Array(50_000_000))
  expect(bomb.length).toBeLessThan(100_000)
  expect(await gunzip(bodyOf(bomb), 1000)).toEqual(new Uint8Array(1000))
  expect(await gunzip(bodyOf(Bun.gzipSync(new Uint8Array([1, 2, 3]))), 1000)).toEqual(
    new Uint8Array([1, 2, 3]),
  )
})

test('gunzip: bytes that are not compressed are refused', async () => {
  await expect(gunzip(bodyOf(new Uint8Array([1, 2, 3, 4])), 1000)).rejects.toThrow()
})
