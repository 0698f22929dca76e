import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FIRST, IndexedFiles, UNWATCHED } from '../support/indexed-files.ts'
import { directory, type Member } from '../support/tar.ts'

let files: IndexedFiles
beforeEach(() => {
  files = new IndexedFiles()
})
afterEach(() => files[Symbol.dispose]())

describe('files of an image', () => {
  test('upper layers replace, delete and hide what lower ones have', async () => {
    const source = await files.image(
      [
        directory('etc', { mode: 0o700 }),
        { name: 'etc/a', content: '1' },
        { name: 'etc/b' },
        { name: 'opaque/low' },
        { name: 'gone/deep/file' },
        { name: 'becomes-file/x' },
      ],
      [
        { name: 'etc/a', content: '22' },
        { name: 'etc/.wh.b' },
        directory('opaque'),
        { name: 'opaque/.wh..wh..opq' },
        { name: 'opaque/high' },
        { name: '.wh.gone' },
        { name: 'becomes-file' },
      ],
      [{ name: 'gone/again' }, { name: 'etc/c' }],
    )
    const [top, middle, bottom] = source.layers
    expect(files.names(source)).toEqual(['becomes-file', 'etc', 'gone', 'opaque'])
    expect(files.names(source, ['opaque'])).toEqual(['high'])
    expect(files.names(source, ['gone'])).toEqual(['again'])
    expect(files.indexes.list(source, ['etc'], '', 10).items).toMatchObject([
      { name: 'a', size: 2, layer: middle },
      { name: 'c', layer: top },
    ])
    // Only the lowest layer has the directory itself; the others only files in it.
    expect(files.indexes.list(source, [], '', 10).items[1]).toMatchObject({
      name: 'etc',
      mode: 0o700,
      layer: bottom,
    })
    expect(await files.failure((indexes) => indexes.list(source, ['gone', 'deep'], '', 10))).toBe(
      'absent: there is no /gone/deep',
    )
    expect(await files.failure((indexes) => indexes.list(source, ['becomes-file'], '', 10))).toBe(
      'not-a-directory: /becomes-file is not a directory',
    )
  })

  test('an opaque root hides all lower layers', async () => {
    const source = await files.image([{ name: 'low' }], [{ name: '.wh..wh..opq' }, { name: 'high' }])
    expect(files.names(source)).toEqual(['high'])
  })

  test('a whiteout hides only lower layers, whatever its place in its own', async () => {
    for (const order of [0, 1]) {
      const upper: Member[] = [{ name: 'd/.wh.x' }, { name: 'd/x/new' }]
      const source = await files.image([{ name: 'd/x/old' }], order === 0 ? upper : upper.reverse())
      expect(files.names(source, ['d', 'x'])).toEqual(['new'])
    }
  })

  test('locates content in the layer that has it, through hard links into lower layers', async () => {
    const source = await files.image(
      [{ name: 'file', content: 'low' }],
      [{ name: 'hard', flag: '1', link: './file' }],
    )
    expect(files.indexes.locate(source, ['hard'])).toEqual({
      layer: source.layers[1] ?? '',
      start: 512,
      size: 3,
    })
    expect(await files.failure((indexes) => indexes.locate(source, ['nothing']))).toBe(
      'absent: there is no /nothing',
    )
  })

  test('pages through merged directories in the order of UTF-8', async () => {
    const source = await files.image(
      [{ name: '\u{1f600}' }, { name: 'a' }],
      [{ name: '\uff5e' }, { name: 'b' }],
    )
    const seen: string[] = []
    for (let next: string | undefined = ''; next !== undefined; ) {
      const page = files.indexes.list(source, [], next, 1)
      seen.push(...page.items.map(({ name }) => name))
      next = page.next
    }
    expect(seen).toEqual(['a', 'b', '\uff5e', '\u{1f600}'])
  })

  test('searches for names, page by page, without what is hidden', async () => {
    const source = await files.image(
      [{ name: 'a/README.md' }, { name: 'b/readme.txt' }, { name: 'c/readme' }],
      [{ name: '.wh.c' }, { name: 'b/readme.txt', content: 'new' }, { name: 'readme-dir/x' }],
    )
    const found: string[] = []
    let after: { layer: number; dir: number; name: string } | undefined = FIRST
    while (after) {
      const page = files.indexes.search(source, { text: 'ReadMe', below: [], after, limit: 1 })
      found.push(...page.items.map(({ path }) => path))
      after = page.next
    }
    expect(found.sort()).toEqual(['a/README.md', 'b/readme.txt', 'readme-dir'])
    const below = files.indexes.search(source, {
      text: 'readme',
      below: ['a'],
      after: FIRST,
      limit: 10,
    })
    expect(below.items.map(({ path }) => path)).toEqual(['a/README.md'])
  })
})

describe('comparison of images', () => {
  test('names what was added, changed and removed, with what differs', async () => {
    const base: Member[] = [
      directory('same'),
      { name: 'same/file' },
      { name: 'text', content: 'one' },
      { name: 'mode' },
      { name: 'dir/x' },
      { name: 'kept', mtime: 1 },
    ]
    const from = await files.image(base)
    const to = {
      isImage: true,
      layers: [
        await files.layer([
          { name: 'text', content: 'two' },
          { name: 'mode', mode: 0o600, uid: 5 },
          { name: '.wh.dir' },
          { name: 'new/file', content: 'x' },
          { name: 'kept', mtime: 2 },
        ]),
        ...from.layers,
      ],
    }
    await files.indexes.compare('changes-a.db', from, to, UNWATCHED)
    const { items, summary } = files.indexes.changes('changes-a.db', 0, 100)
    expect(items.map(({ path, change, differs }) => [path, change, differs])).toEqual([
      ['dir', 'removed', []],
      ['dir/x', 'removed', []],
      ['mode', 'changed', ['mode', 'owner']],
      ['new', 'added', []],
      ['new/file', 'added', []],
      ['text', 'changed', ['content']],
    ])
    expect(summary).toEqual({ added: 2, changed: 2, removed: 2, bytes: 1, truncated: false })
    const page = files.indexes.changes('changes-a.db', 0, 4)
    expect(files.indexes.changes('changes-a.db', page.next ?? 0, 4).items.map(({ path }) => path)).toEqual([
      'new/file',
      'text',
    ])
  })

  test('a page that takes long is short, and the next one continues after it', async () => {
    const names = ['a', 'b', 'c', 'd']
    const layer = [
      ...names.map((name) => ({ name: `x/${name}` })),
      { name: 'x/link', flag: '1', link: 'x/a' },
    ]
    const source = await files.image(layer, [{ name: 'x/b' }])
    const indexes = files.open({ pageMsMax: -1 })
    const listed: string[] = []
    let after: string | undefined = ''
    for (; after !== undefined; ) {
      const page = indexes.list(source, ['x'], after, 100)
      expect(page.items).toHaveLength(1)
      listed.push(...page.items.map(({ name }) => name))
      after = page.next
    }
    expect(listed).toEqual([...names, 'link'])
    const found: string[] = []
    let position: typeof FIRST | undefined = FIRST
    for (; position !== undefined; ) {
      const page = indexes.search(source, { text: '', below: ['x'], after: position, limit: 100 })
      found.push(...page.items.map(({ path }) => path))
      position = page.next
    }
    expect(found.toSorted()).toEqual([...names, 'link'].map((name) => `x/${name}`))
  })
})
