import { expect, test } from 'bun:test'
import * as content from '../support/content.ts'
import { pushBlob, pushManifest, putManifest } from '../support/push.ts'
import { startExecutable, startInProcess } from '../support/server.ts'

const { EMPTY, OCI_MANIFEST } = content
const MiB = 1024 * 1024

test('manifests: 64 concurrent ones of 4 MiB are all stored', async () => {
  await using server = await startExecutable()
  await pushBlob(server, 'a', EMPTY)
  const padding = 'x'.repeat(4 * MiB - 700)
  const manifests = Array.from({ length: 64 }, (_, n) =>
    content.imageManifest(EMPTY, [], { annotations: { n: `${n}`, padding } }),
  )
  const push = (each: content.Named, n: number) => putManifest(server, 'a', each, { reference: `m${n}` })
  const answers = await Promise.all(manifests.map(push))
  expect(answers.filter(({ status }) => status !== 201)).toEqual([])
  const pulled = await (await server.fetch('/v2/a/manifests/m63')).bytes()
  expect(content.digestOf(pulled)).toBe(manifests[63]!.digest)
}, 30_000)

test('manifests: 4 MiB are accepted, one byte more is refused', async () => {
  await using server = await startExecutable()
  await pushBlob(server, 'a', EMPTY)
  const frame = content.imageManifest(EMPTY, [], { annotations: { padding: '' } }).bytes.length
  const ofSize = (size: number) =>
    content.imageManifest(EMPTY, [], { annotations: { padding: 'x'.repeat(size - frame) } })
  const [most, more] = [ofSize(4 * 1024 * 1024), ofSize(4 * 1024 * 1024 + 1)]
  await pushManifest(server, 'a', most, { reference: 'most' })
  expect(await (await server.fetch('/v2/a/manifests/most')).bytes()).toEqual(most.bytes)
  const streamed = await server.fetch('/v2/a/manifests/streamed', {
    method: 'PUT',
    body: new Blob([more.bytes]).stream(),
    headers: { 'content-type': OCI_MANIFEST },
  })
  for (const refused of [await putManifest(server, 'a', more, { reference: 'more' }), streamed]) {
    expect([refused.status, await refused.text()]).toEqual([
      413,
      expect.stringMatching(/SIZE_INVALID.*4194304 bytes/),
    ])
  }
  const tags = await (await server.fetch('/v2/a/tags/list')).json()
  expect(tags).toEqual({ name: 'a', tags: ['most'] })
})

test('manifests: an error names at most 100 missing blobs', async () => {
  await using server = await startInProcess()
  await pushBlob(server, 'a', EMPTY)
  const layers = Array.from({ length: 600 }, (_, at) => content.named(`a missing layer ${at}`))
  const refused = await putManifest(server, 'a', content.imageManifest(EMPTY, layers), {
    reference: 'latest',
  })
  const { errors } = (await refused.json()) as { errors: { code: string }[] }
  expect([refused.status, errors.length, errors[0]?.code]).toEqual([400, 100, 'MANIFEST_BLOB_UNKNOWN'])
})
