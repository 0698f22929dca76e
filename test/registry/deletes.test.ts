import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { descriptor, digestOf, EMPTY, imageManifest, named, OCI_MANIFEST } from '../support/content.ts'
import { pushBlob, pushManifest } from '../support/push.ts'
import { runScenarios } from '../support/scenario.ts'
import { SERVERS, type TestServer } from '../support/server.ts'

const subject = imageManifest(EMPTY, [])
const manifest = imageManifest(EMPTY, [], {
  subject: descriptor(subject, OCI_MANIFEST),
  annotations: { n: '1' },
})
const unknown = digestOf(named('unknown').bytes)

for (const [kind, start] of SERVERS) {
  describe(`DELETE of a manifest, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
      await pushBlob(server, 'a', EMPTY)
      await pushManifest(server, 'a', subject)
    }, 60_000)
    afterAll(() => server.stop())

    const remove = async (reference: string) =>
      (await server.fetch(`/v2/a/manifests/${reference}`, { method: 'DELETE' })).status
    const statuses = (reference: string) =>
      Promise.all(
        ['GET', 'HEAD'].map(
          async (method) => (await server.fetch(`/v2/a/manifests/${reference}`, { method })).status,
        ),
      )
    const tags = async () =>
      ((await (await server.fetch('/v2/a/tags/list')).json()) as { tags: string[] }).tags
    const referrers = async () => {
      const index = (await (await server.fetch(`/v2/a/referrers/${subject.digest}`)).json()) as {
        manifests: { digest: string }[]
      }
      return index.manifests.map(({ digest }) => digest)
    }

    test('by digest deletes its tags, takes effect immediately, and allows pushing it again', async () => {
      for (let round = 0; round < 25; round++) {
        await pushManifest(server, 'a', manifest, { reference: `${manifest.digest}?tag=one&tag=two` })
        for (const reference of [manifest.digest, 'one', 'two'])
          expect(await statuses(reference)).toEqual([200, 200])
        expect([await tags(), await referrers()]).toEqual([['one', 'two'], [manifest.digest]])
        expect(await remove(manifest.digest)).toBe(202)
        for (const reference of [manifest.digest, 'one', 'two'])
          expect(await statuses(reference)).toEqual([404, 404])
        expect([await tags(), await referrers()]).toEqual([[], []])
        expect(await remove(manifest.digest)).toBe(404)
      }
      await pushManifest(server, 'a', manifest, { reference: 'again' })
      expect(await (await server.fetch('/v2/a/manifests/again')).bytes()).toEqual(manifest.bytes)
      expect([await tags(), await referrers()]).toEqual([['again'], [manifest.digest]])
      await remove(manifest.digest)
    })

    test('by tag deletes only that tag', async () => {
      for (let round = 0; round < 25; round++) {
        await pushManifest(server, 'a', manifest, { reference: `${manifest.digest}?tag=one&tag=two` })
        expect(await statuses('one')).toEqual([200, 200])
        expect(await remove('one')).toBe(202)
        expect(await statuses('one')).toEqual([404, 404])
        for (const reference of [manifest.digest, 'two'])
          expect(await statuses(reference)).toEqual([200, 200])
        expect([await tags(), await referrers()]).toEqual([['two'], [manifest.digest]])
        expect(await remove('one')).toBe(404)
      }
      await remove(manifest.digest)
    })

    test('in one repository leaves the same manifest in another', async () => {
      await pushBlob(server, 'b', EMPTY)
      for (const name of ['a', 'b']) await pushManifest(server, name, manifest, { reference: 'shared' })
      expect(await remove(manifest.digest)).toBe(202)
      expect(await (await server.fetch('/v2/b/manifests/shared')).bytes()).toEqual(manifest.bytes)
      expect(await (await server.fetch(`/v2/b/manifests/${manifest.digest}`)).bytes()).toEqual(manifest.bytes)
    })

    runScenarios(
      () => server,
      [
        {
          name: 'that is not there',
          method: 'DELETE',
          path: `/v2/a/manifests/${unknown}`,
          status: 404,
          codes: ['MANIFEST_UNKNOWN'],
        },
        {
          name: 'of a tag that is not there',
          method: 'DELETE',
          path: '/v2/a/manifests/none',
          status: 404,
          codes: ['MANIFEST_UNKNOWN'],
        },
        {
          name: 'in an unknown repository',
          method: 'DELETE',
          path: `/v2/x/y/manifests/${unknown}`,
          status: 404,
          codes: ['NAME_UNKNOWN'],
        },
        {
          name: 'of a tag in an unknown repository',
          method: 'DELETE',
          path: '/v2/x/y/manifests/none',
          status: 404,
          codes: ['NAME_UNKNOWN'],
        },
        {
          name: 'of a malformed digest',
          method: 'DELETE',
          path: '/v2/a/manifests/sha256:1',
          status: 400,
          codes: ['DIGEST_INVALID'],
        },
      ],
    )
  })
}
