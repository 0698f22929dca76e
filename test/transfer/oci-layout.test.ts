import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { OciLayoutTarget } from '../../src/transfer/oci-layout.ts'
import { randomBlob } from '../support/content.ts'

test('export: a blob that two images of one export share is written once, and fails neither', async () => {
  await using folder = await temporaryFolder('layout')
  const target = await OciLayoutTarget.open(folder.path)
  const { digest, bytes } = randomBlob(1000)
  const parsed = parseDigest(digest)
  const push = (repository: string) => target.pushBlob(repository, parsed, new Blob([bytes]).stream())
  await Promise.all([push('a'), push('b'), push('c')])
  await target.finish()
  const blobs = join(folder.path, 'blobs', 'sha256')
  expect(await Array.fromAsync(new Bun.Glob('*').scan(blobs))).toEqual([digest.slice('sha256:'.length)])
  expect(await Bun.file(join(blobs, digest.slice('sha256:'.length))).bytes()).toEqual(new Uint8Array(bytes))
})
