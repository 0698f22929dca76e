import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { Clock } from '../support/clock.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  OCI_INDEX,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { expectStatus, pushImage, pushManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { AT, CALLER, withMetadata } from '../support/writes.ts'

const layer = randomBlob(5000)
const child = imageManifest(EMPTY, [layer])
const index = imageIndex([descriptor(child, OCI_MANIFEST)], { annotations: { spaces: 'are  kept' } })
const signature = imageManifest(EMPTY, [], {
  artifactType: 'application/vnd.example.signature',
  subject: descriptor(index, OCI_INDEX),
})
const PATHS = [
  'manifests/multi',
  `manifests/${index.digest}`,
  `manifests/${child.digest}`,
  `manifests/${signature.digest}`,
  `blobs/${layer.digest}`,
  `referrers/${index.digest}`,
  'tags/list',
]

/** Returns all responses that a client gets from the repository. */
function contentOf(server: TestServer) {
  return Promise.all(
    PATHS.map(async (path) => {
      const response = await server.fetch(`/v2/app/${path}`)
      const { status, headers } = response
      const named = ['etag', 'docker-content-digest', 'content-type', 'content-length'].map((name) =>
        headers.get(name),
      )
      return { path, status, named, body: status === 200 ? await response.text() : undefined }
    }),
  )
}

const repository = parseRepositoryName('app')
const call = (at: number) => ({ caller: CALLER, at, repository, windowStart: AT - 1000 })

/** Each deletion with what undoes it; `then` is a time before the deletion. */
const UNDONE: [
  act: string,
  deletions: string[],
  undo: (metadata: Metadata, at: number, then: number) => Promise<unknown>,
][] = [
  [
    'the deletion of a tag, by a restore of it',
    ['manifests/multi'],
    (metadata, at, then) =>
      metadata.write('restoreTag', { ...call(at), tag: parseTag('multi'), to: { at: then } }),
  ],
  [
    'the deletion of an index with its tag, by a restore of the manifest',
    [`manifests/${index.digest}`],
    (metadata, at) => metadata.write('restoreManifest', { ...call(at), digest: parseDigest(index.digest) }),
  ],
  [
    'the deletion of an index, its entries and their blobs, by a restore of the tag',
    [`manifests/${index.digest}`, `manifests/${child.digest}`, `blobs/${layer.digest}`],
    (metadata, at) =>
      metadata.write('restoreTag', {
        ...call(at),
        tag: parseTag('multi'),
        to: { digest: parseDigest(index.digest) },
      }),
  ],
  [
    'the same, by a rewind',
    [`manifests/${index.digest}`, `manifests/${child.digest}`, `blobs/${layer.digest}`],
    (metadata, at, then) => metadata.write('rewindRepository', { ...call(at), to: then }),
  ],
  [
    'the deletion of the repository, by a restore of it',
    [],
    async (metadata, at) => {
      await metadata.write('deleteRepository', { ...call(at) })
      await metadata.write('restoreRepository', { ...call(at) })
    },
  ],
]

test.each(UNDONE)(
  'undo: %s: all content is as before, byte for byte and header for header',
  async (_, deletions, undo) => {
    const clock = new Clock(AT)
    await using folder = await temporaryFolder('undo')
    const options = { data: folder.path, now: clock.now }
    await using server = await startInProcess(options)
    await pushImage(server, 'app', child, [layer])
    await pushManifest(server, 'app', index, { reference: 'multi', type: OCI_INDEX })
    await pushManifest(server, 'app', signature)
    const before = await contentOf(server)
    expect(before.map(({ status }) => status)).toEqual(PATHS.map(() => 200))
    const then = clock.advance()
    for (const path of deletions)
      await expectStatus(await server.fetch(`/v2/app/${path}`, { method: 'DELETE' }), 202)
    if (deletions.length > 0) expect(await contentOf(server)).not.toEqual(before)
    await server.stop()
    await withMetadata(folder.path, (metadata) => undo(metadata, clock.time + 1, then))
    await using again = await startInProcess(options)
    expect(await contentOf(again)).toEqual(before)
  },
)
