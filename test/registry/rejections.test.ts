import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import * as content from '../support/content.ts'
import { pushBlob, pushManifest, putManifest } from '../support/push.ts'
import { codesOf, runScenarios, type Scenario } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const { EMPTY, OCI_MANIFEST, OCI_INDEX, OCI_LAYER, descriptor, imageIndex, imageManifest, json, named } =
  content
const [config, one, two] = ['config', 'one', 'two'].map((text) => named(`not here: ${text}`)) as [
  content.Named,
  content.Named,
  content.Named,
]
const foreign = descriptor(named('foreign'), 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip')

const refused = (
  name: string,
  body: Scenario['body'],
  code: string,
  more: Partial<Scenario> = {},
): Scenario => ({
  name,
  method: 'PUT',
  path: '/v2/a/manifests/refused',
  headers: { 'content-type': OCI_MANIFEST },
  ...(body !== undefined && { body }),
  status: 400,
  codes: [code],
  lacks: ['location', 'docker-content-digest', 'oci-subject', 'oci-tag'],
  ...more,
})
const image = imageManifest(EMPTY, [])

describe('a manifest is refused', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess()
    await pushBlob(server, 'a', EMPTY)
    await pushBlob(server, 'elsewhere', one)
  })
  afterAll(() => server.stop())

  runScenarios(
    () => server,
    [
      refused('when it is empty', '', 'MANIFEST_INVALID'),
      refused('when it is not JSON', 'no', 'MANIFEST_INVALID', { content: /not JSON in UTF-8/ }),
      refused('when it is a list', '[]', 'MANIFEST_INVALID'),
      refused('when its media type is another one', imageIndex([]), 'MANIFEST_INVALID', {
        content: /Content-Type is/,
      }),
      refused('when the Content-Type is none', image, 'MANIFEST_INVALID', {
        headers: { 'content-type': 'json' },
      }),
      refused(
        'when a size is negative',
        json({ schemaVersion: 2, config: { ...descriptor(EMPTY, 'a/b'), size: -1 } }),
        'MANIFEST_INVALID',
        { content: /config\.size/ },
      ),
      refused(
        'when a digest is malformed',
        json({ schemaVersion: 2, config: { ...descriptor(EMPTY, 'a/b'), digest: 'x' } }),
        'MANIFEST_INVALID',
        { content: /config\.digest/ },
      ),
      refused(
        'when it is of schema 1 under another type',
        json({ schemaVersion: 1, fsLayers: [] }),
        'MANIFEST_INVALID',
        { content: /schema 1/ },
      ),
      refused('under a tag that is none', image, 'MANIFEST_INVALID', { path: '/v2/a/manifests/.refused' }),
      refused('under a digest that is none', image, 'DIGEST_INVALID', {
        path: '/v2/a/manifests/sha256:baddigeststring',
      }),
      refused('under the digest of something else', image, 'DIGEST_INVALID', {
        path: `/v2/a/manifests/${one.digest}`,
        content: new RegExp(image.digest),
      }),
      refused('in a name that is none', image, 'NAME_INVALID', { path: '/v2/A/manifests/refused' }),
      refused('when a push by tag names more tags', image, 'MANIFEST_INVALID', {
        path: '/v2/a/manifests/refused?tag=other',
      }),
      refused('when a further tag is none', image, 'MANIFEST_INVALID', {
        path: `/v2/a/manifests/${image.digest}?tag=refused&tag=.no`,
      }),
      refused('when it names too many tags', image, 'MANIFEST_INVALID', {
        path: `/v2/a/manifests/${image.digest}?${Array.from({ length: 101 }, (_, n) => `tag=t${n}`).join('&')}`,
        status: 414,
      }),
      refused(
        'with one entry for each blob that is missing',
        imageManifest(config, [one, two, one]),
        'MANIFEST_BLOB_UNKNOWN',
        {
          codes: ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'],
        },
      ),
      refused(
        'even when the blob is in another repository',
        imageManifest(EMPTY, [one]),
        'MANIFEST_BLOB_UNKNOWN',
        {
          content: new RegExp(`"detail":\\{"digest":"${one.digest}"\\}`),
        },
      ),
      refused(
        'but not for a subject or a foreign layer',
        json({
          schemaVersion: 2,
          config: descriptor(two, 'a/b'),
          layers: [foreign],
          subject: descriptor(one, OCI_MANIFEST),
        }),
        'MANIFEST_BLOB_UNKNOWN',
        {
          content: new RegExp(two.digest),
          hides: new RegExp(`${one.digest}|${foreign.digest}`),
        },
      ),
      refused(
        'in a repository that does not exist, which then still does not',
        image,
        'MANIFEST_BLOB_UNKNOWN',
        { path: '/v2/new/manifests/refused' },
      ),
      {
        name: 'and nothing of all this is there',
        path: '/v2/a/tags/list',
        status: 200,
        content: { name: 'a', tags: [] },
      },
      { name: 'nor by its digest', path: `/v2/a/manifests/${image.digest}`, status: 404 },
      {
        name: 'nor the repository',
        path: '/v2/_catalog',
        status: 200,
        content: { repositories: ['a', 'elsewhere'] },
      },
    ],
  )
})

describe('references of a manifest to missing content', () => {
  const index = imageIndex([descriptor(one, OCI_MANIFEST), descriptor(two, OCI_LAYER)])
  const sparse = imageManifest(config, [one])

  test.each([
    [
      'none',
      ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'],
      ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN'],
    ],
    ['index', [], ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN']],
    ['all', [], []],
  ])('manifests.sparse = %s', async (setting, indexCodes, imageCodes) => {
    await using server = await startInProcess({ settings: { 'manifests.sparse': setting } })
    await pushBlob(server, 'a', EMPTY)
    const codes = async (manifest: content.Named, type: string) => {
      const response = await putManifest(server, 'a', manifest, { type })
      return response.status === 201 ? [] : codesOf(await response.text())
    }
    expect(await codes(index, OCI_INDEX)).toEqual(indexCodes)
    expect(await codes(sparse, OCI_MANIFEST)).toEqual(imageCodes)
  })

  test('the children of an index may be manifests or blobs, by any of their digests', async () => {
    await using server = await startInProcess({ settings: { 'manifests.sparse': 'none' } })
    for (const blob of [EMPTY, one]) await pushBlob(server, 'a', blob)
    await pushManifest(server, 'a', image)
    const sha512 = content.digestOf(image.bytes, 'sha512')
    const children = [descriptor(image, OCI_MANIFEST), descriptor(one, OCI_LAYER)]
    await pushManifest(server, 'a', imageIndex(children), { type: OCI_INDEX })
    await pushManifest(server, 'a', image, { reference: sha512 })
    const other = imageIndex([descriptor({ ...image, digest: sha512 }, OCI_MANIFEST)])
    await pushManifest(server, 'a', other, { type: OCI_INDEX })
    await server.fetch(`/v2/a/manifests/${image.digest}`, { method: 'DELETE' })
    const late = await putManifest(server, 'a', imageIndex(children, { artifactType: 'a/b' }), {
      type: OCI_INDEX,
    })
    expect(codesOf(await late.text())).toEqual(['MANIFEST_BLOB_UNKNOWN'])
  })
})
