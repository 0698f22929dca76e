import { expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createGzip } from 'node:zlib'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { runCay } from '../support/run-cay.ts'

setDefaultTimeout(60_000)

const BLOCK = 512

interface Entry {
  name: string
  type?: string
  link?: string
  body?: string
  /** The size in the header; by default that of the body. */
  size?: number
}

/** One entry of a tar archive (POSIX ustar). */
function entry({ name, type = '0', link = '', body = '', size = body.length }: Entry): Buffer {
  const header = Buffer.alloc(BLOCK)
  header.write(name, 0)
  header.write('0000644\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  header.write('00000000000\0', 136)
  header.write('        ', 148)
  header.write(type, 156)
  header.write(link, 157)
  header.write('ustar\x0000', 257)
  const sum = header.reduce((all, byte) => all + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  const padded = Buffer.alloc(Math.ceil(body.length / BLOCK) * BLOCK)
  padded.write(body)
  return Buffer.concat([header, padded])
}

const archive = (...entries: Entry[]) => Buffer.concat([...entries.map(entry), Buffer.alloc(2 * BLOCK)])

const LAYOUT = { name: 'oci-layout', body: '{"imageLayoutVersion":"1.0.0"}' }

test.each<[string, Entry[]]>([
  ['a name that leads out of it', [{ name: '../evil', body: 'x' }]],
  ['an absolute name', [{ name: '/tmp/cay-evil-absolute', body: 'x' }]],
  [
    'a symbolic link that leads out of it, and a file behind it',
    [
      { name: 'away', type: '2', link: '..' },
      { name: 'away/evil', body: 'x' },
    ],
  ],
  ['a hard link to a file outside', [{ name: 'index.json', type: '1', link: '../secret' }, LAYOUT]],
  [
    'an index that is a symbolic link to a file outside',
    [{ name: 'index.json', type: '2', link: '../secret' }, LAYOUT],
  ],
  ['an entry that is larger than the archive', [{ name: 'index.json', size: 2 ** 30, body: '{}' }]],
  ['an index of another shape', [{ name: 'index.json', body: '{"manifests":{"digest":7}}' }, LAYOUT]],
  ['an index without an end', [{ name: 'index.json', body: `${'['.repeat(100_000)}` }, LAYOUT]],
  [
    'a digest that is a path',
    [
      {
        name: 'index.json',
        body: '{"manifests":[{"mediaType":"a/b","size":1,"digest":"sha256:../../secret"}]}',
      },
      LAYOUT,
    ],
  ],
])('import: an archive with %s is refused, and leaves nothing behind', async (_, entries) => {
  await using folder = await temporaryFolder('hostile')
  const inner = join(folder.path, 'inner')
  await mkdir(inner)
  await writeFile(join(folder.path, 'secret'), '{"manifests":[]}')
  await writeFile(join(inner, 'archive.tar'), archive(...entries))
  const result = await runCay(['import', join(inner, 'archive.tar'), 'app', '--data', join(inner, 'data')])
  expect([result.code, result.errors]).toEqual([1, expect.stringMatching(/^cay: /)])
  expect(result.errors + result.output).not.toMatch(/undefined is not|at .*\.ts/)
  expect((await readdir(inner)).toSorted()).toEqual(expect.arrayContaining(['archive.tar']))
  expect((await readdir(inner)).filter((name) => name.startsWith('.cay-import'))).toEqual([])
  expect([existsSync(join(folder.path, 'evil')), existsSync('/tmp/cay-evil-absolute')]).toEqual([
    false,
    false,
  ])
})

test('import: a compressed archive is refused before it is expanded', async () => {
  await using folder = await temporaryFolder('hostile')
  const gzip = createGzip()
  gzip.end(Buffer.alloc(50_000_000))
  await writeFile(join(folder.path, 'bomb.tar.gz'), Buffer.concat(await gzip.toArray()))
  const result = await runCay([
    'import',
    join(folder.path, 'bomb.tar.gz'),
    'app',
    '--data',
    join(folder.path, 'data'),
  ])
  expect(result).toMatchObject({ code: 1, errors: expect.stringContaining('is not a tar archive') })
})

test.each(['index.json', 'manifest.json'])(
  'import: a folder whose %s is a device is refused',
  async (name) => {
    await using folder = await temporaryFolder('hostile')
    await writeFile(join(folder.path, 'oci-layout'), LAYOUT.body)
    await symlink('/dev/zero', join(folder.path, name))
    const result = await runCay(['import', folder.path, 'app', '--data', join(folder.path, 'data')])
    expect(result).toMatchObject({ code: 1, errors: expect.stringContaining('is not a file') })
  },
)

test('import: a tag of registry:2 that is a device is refused, and repositories in a circle end', async () => {
  await using folder = await temporaryFolder('hostile')
  const own = join(folder.path, 'docker/registry/v2/repositories/app')
  const link = join(own, '_manifests/tags/v1/current/link')
  await mkdir(dirname(link), { recursive: true })
  await symlink('/dev/zero', link)
  await symlink('..', join(own, 'circle'))
  const result = await runCay(['import', folder.path, '--data', join(folder.path, 'data')])
  expect(result).toMatchObject({
    code: 1,
    output: expect.stringMatching(/app:v1 +not copied +.* is not a file/),
  })
})
