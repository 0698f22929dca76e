import { expect, setDefaultTimeout, test } from 'bun:test'
import { chmod, rename, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { registryBlob, writeRepository } from '../../scripts/lib/registry-folder.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { blobPlace } from '../../src/storage/blob-store.ts'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

setDefaultTimeout(60_000)

const fileIn = (data: string, { digest }: Named) => blobPlace(data, parseDigest(digest)).file

/** A folder of registry:2 with one image, whose layer has a mode of its own. */
async function sourceFolder() {
  const folder = await temporaryFolder('links')
  const layer = randomBlob(200_000)
  const image = imageManifest(EMPTY, [layer])
  writeRepository(folder.path, 'team/app', {
    blobs: [EMPTY, layer],
    manifests: [image],
    tags: [['v1', image.digest]],
  })
  await chmod(registryBlob(folder.path, layer.digest), 0o644)
  return {
    folder,
    layer,
    image,
    path: folder.path,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

const stateOf = async (file: string) => {
  const { ino, mode, size, mtimeMs } = await stat(file)
  return { ino, mode, size, mtimeMs }
}

test.each(['with a server', 'without a server'])(
  'import: %s, layers of registry:2 become hard links, and the source stays as it is',
  async (how) => {
    await using source = await sourceFolder()
    await using target = await temporaryFolder('links-target')
    const data = target.path
    const before = await stateOf(registryBlob(source.path, source.layer.digest))
    const importNow = () => runCay(['import', source.path, '--data', data])
    let result: Awaited<ReturnType<typeof runCay>>
    if (how === 'with a server') {
      await using _server = await startExecutable({ data })
      result = await importNow()
    } else result = await importNow()
    expect(result).toMatchObject({ code: 0, output: expect.stringContaining('(1 of them as hard links)') })
    const imported = fileIn(data, source.layer)
    expect(await stateOf(registryBlob(source.path, source.layer.digest))).toEqual(before)
    expect((await stat(imported)).ino).toBe(before.ino)

    await using server = await startExecutable({ data })
    const path = `/v2/team/app/blobs/${source.layer.digest}`
    expect(await (await server.fetch(path)).bytes()).toEqual(source.layer.bytes)
    // What is pushed later gets a file of its own.
    const put = `/v2/team/app/blobs/uploads/?digest=${source.layer.digest}`
    await server.fetch(put, { method: 'POST', body: source.layer.bytes })
    expect(await stateOf(registryBlob(source.path, source.layer.digest))).toEqual(before)
    expect(await Bun.file(registryBlob(source.path, source.layer.digest)).bytes()).toEqual(
      new Uint8Array(source.layer.bytes),
    )
  },
)

test('import: a damaged layer of registry:2 is not linked, and its image is refused', async () => {
  await using source = await sourceFolder()
  const file = registryBlob(source.path, source.layer.digest)
  await writeFile(file, source.layer.bytes.with(5, (source.layer.bytes[5] ?? 0) ^ 1))
  await using target = await temporaryFolder('links-target')
  const result = await runCay(['import', source.path, '--data', target.path])
  expect(result).toMatchObject({ code: 1, output: expect.stringContaining('DIGEST_INVALID') })
  expect(await Bun.file(fileIn(target.path, source.layer)).exists()).toBe(false)
  expect((await stat(file)).nlink).toBe(1)
})

test('import: a layer of registry:2 that is a symbolic link is copied', async () => {
  await using source = await sourceFolder()
  const file = registryBlob(source.path, source.layer.digest)
  await rename(file, join(source.path, 'elsewhere'))
  await symlink(join(source.path, 'elsewhere'), file)
  await using target = await temporaryFolder('links-target')
  const result = await runCay(['import', source.path, '--data', target.path])
  expect(result).toMatchObject({ code: 0, output: expect.stringMatching(/2 blobs\n/) })
  expect((await stat(join(source.path, 'elsewhere'))).nlink).toBe(1)
})
