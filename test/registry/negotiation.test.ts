import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from '../support/content.ts'
import {
  docker,
  EMPTY_LAYER,
  expectConverted,
  expectStored,
  fill,
  image,
  old,
  oldPayload,
  pull,
  SIGNED,
  STORED,
  UNSIGNED,
} from '../support/negotiation.ts'
import { runScenario } from '../support/scenario.ts'
import { SERVERS, startInProcess, type TestServer } from '../support/server.ts'

const OLD = 'docker/1.9.1 go/go1.4.2 kernel/4.1.12 os/linux arch/amd64'
const NEW = 'some-client/1.0'
const MIDDLE = [DOCKER_LIST, DOCKER_MANIFEST, SIGNED, 'application/json']
const EVERYTHING = [...MIDDLE, OCI_MANIFEST, OCI_INDEX]

for (const [kind, start] of SERVERS) {
  describe(`by tag, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await fill(await start())
    }, 60_000)
    afterAll(() => server.stop())

    test.each<[accept: string | string[] | null, agent: string]>([
      [EVERYTHING, NEW],
      [EVERYTHING.join(', '), NEW],
      [EVERYTHING, OLD],
      ['application/*', NEW],
      ['application/*', OLD],
      ['text/html, */*;q=0.1', NEW],
      ['*/*', NEW],
      [null, NEW],
      ['application/json', NEW],
      ['text/html', NEW],
      [null, 'docker/1.10.0'],
      [null, 'docker/28.1.1'],
    ])('who accepts %j, %s, gets whatever is stored', async (accept, agent) => {
      for (const tag of Object.keys(STORED)) {
        const sent = await pull(server, tag, accept, agent)
        expectStored(sent, tag)
        expect(sent.headers.get('vary')).toBe('Accept')
      }
    })

    test.each<[accept: string | string[] | null, agent: string]>([
      [SIGNED, NEW],
      [[SIGNED, UNSIGNED], NEW],
      [`${SIGNED}, application/json;q=0.5`, NEW],
      [[SIGNED, 'text/html'], NEW],
      [null, OLD],
      ['*/*', OLD],
      ['application/json', OLD],
    ])('who accepts %j, %s, gets images as schema 1', async (accept, agent) => {
      for (const tag of ['docker', 'oci', 'list', 'index']) {
        expectConverted(await pull(server, tag, accept, agent), tag)
      }
    })

    test('a client that accepts only unsigned schema 1 gets it unsigned', async () => {
      expectConverted(await pull(server, 'oci', UNSIGNED), 'oci', UNSIGNED)
      const { digest } = await pull(server, 'oci', SIGNED)
      expect((await pull(server, 'oci', UNSIGNED)).digest).toBe(digest)
    })

    test('a Docker without OCI support gets a format that it reads', async () => {
      expectConverted(await pull(server, 'oci', MIDDLE, 'docker/1.13.1'), 'oci')
      expectConverted(await pull(server, 'index', MIDDLE, 'docker/1.13.1'), 'index')
      for (const tag of ['docker', 'list', 'zstd', 'chart', 'arm-index']) {
        expectStored(await pull(server, tag, MIDDLE, 'docker/1.13.1'), tag)
      }
    })

    test('a client that reads images but no indexes gets linux/amd64, if it reads its type', async () => {
      for (const accept of [DOCKER_MANIFEST, [DOCKER_MANIFEST, SIGNED], [OCI_MANIFEST, DOCKER_MANIFEST]]) {
        const sent = await pull(server, 'list', accept)
        expect([sent.type, sent.digest]).toEqual([DOCKER_MANIFEST, docker.digest])
        expect(sent.headers.get('warning')).toBeNull()
      }
      expect((await pull(server, 'index', OCI_MANIFEST)).digest).toBe(image.digest)
      expectStored(await pull(server, 'list', OCI_MANIFEST), 'list')
      expectStored(await pull(server, 'index', DOCKER_MANIFEST), 'index')
      expectStored(await pull(server, 'arm-index', OCI_MANIFEST), 'arm-index')
    })

    test('Vary is sent where the format depends on Accept, in any order of requests', async () => {
      const ids = new Set<string | null>()
      for (const [reference, varies] of [
        [docker.digest, null],
        ['list', 'Accept'],
        ['docker', 'Accept'],
        [docker.digest, null],
        ['list', 'Accept'],
        ['docker', 'Accept'],
      ] as const) {
        const { digest, headers } = await pull(server, reference!, DOCKER_MANIFEST)
        expect([digest, headers.get('vary')]).toEqual([docker.digest, varies as string | null])
        ids.add(headers.get('x-request-id'))
      }
      expect(ids.size).toBe(6)
    })

    test.each([
      ['zstd', /layer sha256:[0-9a-f]+ of type application\/vnd.oci.image.layer.v1.tar\+zstd/],
      ['chart', /an artifact: its config is of type application\/vnd.cncf.helm.config.v1\+json/],
      ['arm-index', /no image for linux\/amd64/],
    ])('%s is refused to who reads only schema 1, and it says why', async (tag, reason) => {
      for (const headers of [{ accept: SIGNED }, { 'user-agent': OLD, accept: '*/*' }] as Record<
        string,
        string
      >[]) {
        const path = `/v2/a/b/manifests/${tag}`
        await runScenario(server, {
          name: '',
          path,
          headers,
          status: 404,
          codes: ['MANIFEST_UNKNOWN'],
          content: reason,
        })
        await runScenario(server, { name: '', method: 'HEAD', path, headers, status: 404 })
      }
    })

    test('an image pushed as schema 1 is served as pushed', async () => {
      for (const accept of [...EVERYTHING.map((type) => [type]), EVERYTHING, null, '*/*', 'text/html']) {
        const sent = await pull(server, 'old', accept)
        expect([sent.type, sent.digest, sent.headers.get('warning')]).toEqual([
          SIGNED,
          oldPayload.digest,
          null,
        ])
        expect(sent.bytes.equals(old)).toBe(true)
      }
      expect((await pull(server, 'old-list', SIGNED)).bytes.equals(old)).toBe(true)
      expect((await pull(server, 'old-list', null, OLD)).bytes.equals(old)).toBe(true)
      const bare = await pull(server, 'old', UNSIGNED)
      expect([bare.type, bare.bytes.toString()]).toEqual([UNSIGNED, Buffer.from(oldPayload.bytes).toString()])
    })

    test('by digest, every client gets the stored manifest', async () => {
      for (const accept of [SIGNED, UNSIGNED, DOCKER_LIST, '*/*', null]) {
        const sent = await pull(server, image.digest, accept, OLD)
        expect([sent.type, sent.bytes.equals(image.bytes)]).toEqual([OCI_MANIFEST, true])
        expect(sent.headers.get('vary')).toBeNull()
        const other = await pull(server, oldPayload.digest, accept)
        expect([other.type, other.bytes.equals(old)]).toEqual([SIGNED, true])
      }
    })

    test('a conversion can be pulled by its digest, with all of its layers', async () => {
      const sent = await pull(server, 'list', SIGNED)
      expectConverted(await pull(server, sent.digest, null), 'list')
      expectConverted(await pull(server, sent.digest, UNSIGNED), 'list', UNSIGNED)
      const path = `/v2/a/b/blobs/${EMPTY_LAYER}`
      const layer = await runScenario(server, {
        name: '',
        path,
        status: 200,
        has: { 'content-length': '32' },
      })
      expect(layer.headers.get('docker-content-digest')).toBe(EMPTY_LAYER)
      await runScenario(server, { name: '', method: 'DELETE', path, status: 405, codes: ['DENIED'] })
      await runScenario(server, { name: '', path: `/v2/a/c/manifests/${sent.digest}`, status: 404 })
    })
  })
}

describe('the setting docker.schema1.pull', () => {
  test('always: clients that accept anything, or send no Accept, get schema 1; artifacts stay as they are', async () => {
    await using server = await fill(await startInProcess({ settings: { 'docker.schema1.pull': 'always' } }))
    for (const accept of ['*/*', null, 'application/json']) {
      for (const tag of ['docker', 'oci', 'list', 'index'])
        expectConverted(await pull(server, tag, accept), tag)
      for (const tag of ['zstd', 'chart', 'arm-index']) expectStored(await pull(server, tag, accept), tag)
    }
    for (const tag of Object.keys(STORED)) expectStored(await pull(server, tag, EVERYTHING), tag)
    expectStored(await pull(server, 'oci', 'text/html'), 'oci')
  })

  test('never: no client gets schema 1', async () => {
    await using server = await fill(await startInProcess({ settings: { 'docker.schema1.pull': 'never' } }))
    for (const accept of [SIGNED, UNSIGNED, null]) {
      for (const tag of ['docker', 'oci', 'chart']) expectStored(await pull(server, tag, accept, OLD), tag)
    }
    expect((await pull(server, 'list', DOCKER_MANIFEST)).digest).toBe(docker.digest)
    expect((await pull(server, 'old', SIGNED)).bytes.equals(old)).toBe(true)
  })
})
