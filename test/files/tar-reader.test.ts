import { describe, expect, test } from 'bun:test'
import { unpackTar } from 'modern-tar'
import { TarError, type TarMember, TarReader } from '../../src/files/archive.ts'
import { concat, directory, type Member, pax, tar } from '../support/tar.ts'

interface Read {
  name: string
  flag: string
  size: number
  start: number
  link: string
  content: string
  sparseSize?: number | undefined
}

function read(archive: Uint8Array, pieceBytes = archive.length): Read[] {
  const found: Read[] = []
  let parts: Uint8Array[] = []
  let current: TarMember | undefined
  const reader = new TarReader({
    begin: (member) => {
      current = member
      parts = []
    },
    content: (bytes) => parts.push(bytes.slice()),
    end: () => {
      if (current === undefined) return
      const { name, flag, size, start, link, sparseSize } = current
      const texts = { name: Buffer.from(name).toString(), link: Buffer.from(link).toString() }
      found.push({ ...texts, flag, size, start, content: Buffer.concat(parts).toString(), sparseSize })
    },
  })
  for (let at = 0; at < archive.length; at += pieceBytes) reader.write(archive.subarray(at, at + pieceBytes))
  reader.end()
  return found
}

const SOME: Member[] = [
  directory('etc'),
  { name: 'etc/passwd', content: 'root:x:0:0\n' },
  { name: 'etc/empty' },
  { name: 'etc/link', flag: '2', link: 'passwd' },
  { name: 'etc/hard', flag: '1', link: 'etc/passwd' },
  { name: 'big', content: 'x'.repeat(1500) },
]

describe('tar reader', () => {
  test('reads an archive in pieces of any size as in one', () => {
    const whole = read(tar(SOME))
    expect(whole.map(({ name }) => name)).toEqual([
      'etc/',
      'etc/passwd',
      'etc/empty',
      'etc/link',
      'etc/hard',
      'big',
    ])
    for (const bytes of [1, 7, 511, 512, 513, 1000]) expect(read(tar(SOME), bytes)).toEqual(whole)
  })

  test('says where each content begins', () => {
    const archive = tar(SOME)
    for (const { start, size, content } of read(archive))
      expect(Buffer.from(archive.subarray(start, start + size)).toString()).toBe(content)
  })

  test('reads the same members as modern-tar in strict mode', async () => {
    const archive = tar([
      pax({ path: 'ü'.repeat(120), mtime: '1.5' }),
      { name: 'short', content: 'pax' },
      { name: '././@LongLink', flag: 'L', content: `${'long/'.repeat(40)}name\0` },
      { name: 'short', content: 'gnu' },
      ...SOME,
    ])
    const theirs = await unpackTar(archive, { strict: true })
    expect(read(archive).map(({ name, size }) => [name, size])).toEqual(
      theirs.map(({ header, data }) => [header.name, data?.length ?? 0]),
    )
  })

  test('joins the prefix of a POSIX header, and ignores that place in GNU headers', () => {
    const prefixed: Member = { name: 'file', patch: (block) => block.set(Buffer.from('some/prefix'), 345) }
    const gnu: Member = {
      name: 'file',
      patch: (block) => {
        block.set(Buffer.from('ustar  \0'), 257)
        block.set(Buffer.from('12345'), 345)
      },
    }
    expect(read(tar([prefixed, gnu])).map(({ name }) => name)).toEqual(['some/prefix/file', 'file'])
  })

  test('reads sizes of both sparse formats', () => {
    const old: Member = {
      name: 'old',
      flag: 'S',
      content: 'data',
      patch: (block) => {
        block.set(Buffer.from('00000100000\0'), 483)
        block[482] = 1
      },
    }
    const [header, ...rest] = [tar([old], { isEnded: false })].flatMap((all) => [
      all.slice(0, 512),
      all.slice(512),
    ])
    const map = new Uint8Array(512)
    const archive = tar([
      header as Uint8Array,
      map,
      ...rest,
      pax({ 'GNU.sparse.name': 'new', 'GNU.sparse.realsize': '9999' }),
      { name: 'x', content: 'ab' },
    ])
    expect(read(archive).map(({ name, sparseSize, content }) => [name, sparseSize, content])).toEqual([
      ['old', 0o100000, 'data'],
      ['new', 9999, 'ab'],
    ])
  })

  test('ignores everything after the end of the archive', () => {
    expect(read(concat([tar([{ name: 'a' }]), Buffer.from('garbage'.repeat(200))]))).toHaveLength(1)
  })

  test.each<[string, Uint8Array, RegExp]>([
    [
      'a wrong checksum',
      tar([{ name: 'a' }]).map((byte, at) => (at === 0 ? 0x62 : byte)),
      /not a tar archive/,
    ],
    ['a truncated header', tar(SOME).subarray(0, 700), /truncated/],
    ['a truncated content', tar(SOME).subarray(0, 1030), /truncated/],
    ['a PAX header without a member', tar([pax({ path: 'x' })], { isEnded: false }), /truncated/],
    ['a single zero block', tar([new Uint8Array(512), { name: 'a' }]), /zero block/],
    [
      'a negative size',
      tar([{ name: 'a', patch: (block) => block.fill(0xff, 124, 136) }]),
      /not a tar archive/,
    ],
    [
      'a size that is no number',
      tar([{ name: 'a', patch: (block) => block.set(Buffer.from('size'), 124) }]),
      /not a tar archive/,
    ],
    ['a huge PAX header', tar([{ name: 'p', flag: 'x', size: 2 ** 32 }]), /larger than 1048576/],
    ['a huge GNU name', tar([{ name: 'p', flag: 'L', size: 2 ** 32 }]), /larger than 1048576/],
    ['a NUL in a PAX path', tar([pax({ path: 'a\0b' }), { name: 'x' }]), /invalid PAX/],
    [
      'a PAX record of the wrong length',
      tar([{ name: 'p', flag: 'x', content: '99 path=x\n' }, { name: 'x' }]),
      /invalid PAX/,
    ],
    ['a PAX size that is no number', tar([pax({ size: '1e3' }), { name: 'x' }]), /invalid PAX/],
    ['text', Buffer.from('this is not an archive\n'.repeat(50)), /not a tar archive/],
    [
      'a wrong checksum of a later header',
      tar(SOME).map((byte, at) => (at === 520 ? 0x62 : byte)),
      /checksum at byte 512/,
    ],
  ])('refuses %s', (_, archive, message) => {
    expect(() => read(archive)).toThrow(TarError)
    expect(() => read(archive)).toThrow(message)
  })
})
