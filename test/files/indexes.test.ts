import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { indexName } from '../../src/files/index-folder.ts'
import { FIRST, IndexedFiles, UNWATCHED } from '../support/indexed-files.ts'
import { concat, directory, pax, tar } from '../support/tar.ts'

let files: IndexedFiles
beforeEach(() => {
  files = new IndexedFiles()
})
afterEach(() => files[Symbol.dispose]())

function buildFailure(files: IndexedFiles, content: Uint8Array<ArrayBuffer>): Promise<string> {
  return files.failure((indexes) => indexes.build('sha256:bad', content, [], UNWATCHED))
}

describe('files of a layer', () => {
  test('lists directories by name with all attributes, and creates those that are only implied', async () => {
    const digest = await files.layer([
      { name: './usr/bin/tool', content: 'binary', mode: 0o4755, uid: 10, gid: 20 },
      { name: 'usr/bin/alias', flag: '1', link: 'usr/bin/tool' },
      { name: 'usr/bin/../../etc', flag: '0' },
      { name: '/absolute', flag: '2', link: '/etc/passwd' },
    ])
    const source = { layers: [digest], isImage: false }
    expect(files.names(source)).toEqual(['absolute', 'usr'])
    const [alias, tool] = files.indexes.list(source, ['usr', 'bin'], '', 10).items
    const hash = new Bun.CryptoHasher('sha256').update('binary').digest('hex')
    expect(tool).toMatchObject({
      path: 'usr/bin/tool',
      kind: 'file',
      size: 6,
      mode: 0o4755,
      uid: 10,
      gid: 20,
      hash,
    })
    expect(tool?.modifiedAt).toBe(1_700_000_000_000)
    expect(alias).toMatchObject({ kind: 'hardlink', link: 'usr/bin/tool', size: 6, hash })
    expect(files.indexes.list(source, [], '', 10)).toMatchObject({
      items: [
        { kind: 'symlink', link: '/etc/passwd' },
        { kind: 'directory', mode: undefined },
      ],
      problems: [{ path: 'usr/bin/../../etc', reason: 'its path contains ".."' }],
    })
  })

  test('pages through a directory, and shows whiteouts and opaque directories as they are', async () => {
    const many = Array.from({ length: 25 }, (_, at) => ({ name: `d/${String(at).padStart(2, '0')}` }))
    const digest = await files.layer([
      directory('d'),
      ...many,
      { name: 'd/.wh..wh..opq' },
      { name: '.wh.gone' },
    ])
    const source = { layers: [digest], isImage: false }
    const first = files.indexes.list(source, ['d'], '', 10)
    const second = files.indexes.list(source, ['d'], first.next ?? '', 10)
    const third = files.indexes.list(source, ['d'], second.next ?? '', 10)
    expect([first, second, third].map(({ items }) => items.length)).toEqual([10, 10, 5])
    expect(third.next).toBeUndefined()
    expect(files.indexes.list(source, [], '', 10).items).toMatchObject([
      { name: 'd', kind: 'directory', isOpaque: true },
      { name: 'gone', kind: 'whiteout' },
    ])
  })

  test('shows oddities instead of failing', async () => {
    const digest = await files.layer([
      { name: 'twice', content: 'first' },
      { name: 'twice', content: 'the last' },
      { name: 'link', flag: '2', link: '/' },
      { name: 'link/inside', content: 'x' },
      { name: 'self', flag: '1', link: 'self' },
      { name: 'a', flag: '1', link: 'b' },
      { name: 'b', flag: '1', link: 'a' },
      { name: 'dumpdir', flag: 'D' },
      pax({ path: 'n'.repeat(300) }),
      { name: 'x' },
      pax({ path: 'd/'.repeat(300) }),
      { name: 'x' },
      pax({ path: 'd/'.repeat(3000) }),
      { name: 'x' },
      { name: new Uint8Array([0xff, 0x41]) },
      { name: '<img src=x>\u202egnp.exe' },
    ])
    const source = { layers: [digest], isImage: false }
    const { items, problems } = files.indexes.list(source, [], '', 100)
    expect(items.map(({ name }) => name)).toEqual([
      '<img src=x>\u202egnp.exe',
      '\\xffA',
      'a',
      'b',
      'link',
      'self',
      'twice',
    ])
    expect(items.find(({ name }) => name === 'twice')).toMatchObject({ size: 8 })
    expect(problems.map(({ reason }) => reason)).toEqual([
      'it is in the archive more than once; the last one counts',
      'a part of its path is not a directory',
      'its type "D" is unknown',
      'its name is longer than 255 bytes',
      'it is in more than 256 directories',
      'its path is longer than 4096 bytes',
    ])
    for (const path of ['self', 'a'])
      expect(await files.failure((indexes) => indexes.locate(source, [path]))).toMatch(
        /^not-a-file: the target of the hard link/,
      )
  })

  test('a file that replaces a directory hides what was in it, and a new directory is empty', async () => {
    const digest = await files.layer([
      { name: 'a/old' },
      { name: 'a', content: 'file' },
      directory('a'),
      { name: 'a/new' },
    ])
    const source = { layers: [digest], isImage: false }
    expect(files.names(source, ['a'])).toEqual(['new'])
    const found = files.indexes.search(source, {
      text: 'old',
      below: [],
      after: FIRST,
      limit: 10,
    })
    expect(found.items).toEqual([])
  })

  test('reads gzip with several members, zstd with several frames, and archives in no compression', async () => {
    const archive = tar([{ name: 'file', content: 'x'.repeat(5000) }])
    const [a, b] = [archive.slice(0, 700), archive.slice(700)]
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2])
    const forms = {
      gzip: concat([Bun.gzipSync(a), Bun.gzipSync(b)]),
      zstd: concat([skippable, Bun.zstdCompressSync(a), skippable, Bun.zstdCompressSync(b)]),
      none: archive,
    }
    for (const [name, content] of Object.entries(forms)) {
      await files.indexes.build(`sha256:${name}`, content, [], UNWATCHED)
      expect(files.names({ layers: [`sha256:${name}`], isImage: false })).toEqual(['file'])
    }
  })

  test('refuses what is damaged, no archive, or exceeds a limit, and leaves no file', async () => {
    const archive = tar([{ name: 'a', content: 'x'.repeat(100_000) }, { name: 'b' }, { name: 'c' }])
    const zipped = Bun.gzipSync(archive)
    expect(await buildFailure(files, zipped.slice(0, 60))).toMatch(/^unreadable: it cannot be decompressed/)
    expect(
      await buildFailure(files, new Uint8Array(zipped.map((byte, at) => (at === 20 ? byte ^ 0xff : byte)))),
    ).toMatch(/^unreadable/)
    expect(await buildFailure(files, archive.slice(0, 1000))).toBe(
      'unreadable: the archive is truncated at byte 1000',
    )
    expect(await buildFailure(files, new Uint8Array(Buffer.from('not an archive '.repeat(100))))).toMatch(
      /not a tar archive/,
    )
    files.open({ entriesMax: 2 })
    expect(await buildFailure(files, archive)).toBe('unreadable: it has more than 2 files')
    files.open({ layerBytesMax: 2 ** 20 })
    expect(
      await buildFailure(files, Bun.gzipSync(tar([{ name: 'bomb', content: new Uint8Array(2 ** 22) }]))),
    ).toMatch(/more than 1048576 bytes/)
    expect(readdirSync(files.folder)).toEqual([])
    // An archive of nothing is a layer without files.
    expect(await buildFailure(files, new Uint8Array(0))).toBe('no failure')
  })
})

describe('kept indexes', () => {
  test('the least recently used ones are removed when all exceed the limit, but none that is in use', async () => {
    const many = (from: number) =>
      tar(Array.from({ length: 300 }, (_, at) => ({ name: `file-${from + at}` })))
    await files.indexes.build('sha256:one', many(0), [], UNWATCHED)
    const bytes = statSync(join(files.folder, indexName('sha256:one'))).size
    files.open({}, bytes * 2.5)
    await files.indexes.build('sha256:two', many(0), [], UNWATCHED)
    expect(files.indexes.missing(['sha256:one', 'sha256:two'])).toEqual([])
    files.indexes.list({ layers: ['sha256:one'], isImage: false }, [], '', 1)
    await files.indexes.build('sha256:three', many(0), [], UNWATCHED)
    expect(files.indexes.missing(['sha256:one', 'sha256:two', 'sha256:three'])).toEqual(['sha256:two'])
    const needed = ['sha256:one', 'sha256:three']
    const error = await files.indexes
      .build('sha256:four', many(0), needed, UNWATCHED)
      .catch(({ reason }) => reason)
    expect(error).toBe('full')
    expect(files.indexes.missing(needed)).toEqual([])
  })

  test('a damaged index is removed, so that it is made again', async () => {
    const digest = await files.layer([{ name: 'file' }])
    const source = { layers: [digest], isImage: false }
    const file = join(files.folder, indexName(digest))
    writeFileSync(file, new Uint8Array(statSync(file).size))
    files.open()
    expect(await files.failure((indexes) => indexes.list(source, [], '', 10))).toMatch(/^missing/)
    expect(files.indexes.missing([digest])).toEqual([digest])
  })

  test('what a crash left in the folder is removed, and complete indexes stay', async () => {
    const digest = await files.layer([{ name: 'file' }])
    writeFileSync(join(files.folder, 'layer-sha256-1.db.part'), 'x')
    files.open()
    expect(readdirSync(files.folder)).toEqual([indexName(digest)])
    expect(files.indexes.missing([digest])).toEqual([])
  })

  test('work is cancelled by its signal', async () => {
    const work = { signal: AbortSignal.abort(), progress: () => {} }
    const slow = tar([{ name: 'big', content: new Uint8Array(30 * 2 ** 20) }])
    const error = await files.indexes.build('sha256:slow', slow, [], work).catch((error) => error)
    expect(error.name).toBe('AbortError')
    expect(readdirSync(files.folder)).toEqual([])
  })
})
