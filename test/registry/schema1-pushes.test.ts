import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Clock } from '../support/clock.ts'
import { digestOf, named, randomBlob } from '../support/content.ts'
import { schema1Text, signed, testKey } from '../support/jws.ts'
import { expectStatus, pushBlob } from '../support/push.ts'
import { runScenario, type Scenario } from '../support/scenario.ts'
import { SERVERS, startInProcess, type TestServer } from '../support/server.ts'

const SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
const UNSIGNED = 'application/vnd.docker.distribution.manifest.v1+json'
const TYPES = [SIGNED, UNSIGNED, 'application/json', `${SIGNED}; charset=utf-8`, undefined]

const [leaf, base] = [randomBlob(100), randomBlob(100)]
const key = testKey('ES256')
const text = schema1Text('a/b', 'v1', [leaf.digest, base.digest, base.digest])
const digest = digestOf(Buffer.from(text))
const image = signed(text, [key])

/** Pushes the manifest, or another one. */
function push(
  more: Partial<Omit<Scenario, 'body'>> & { bytes?: Uint8Array; type?: string | undefined } = {},
): Scenario {
  const { bytes = image, type, ...scenario } = { type: SIGNED, ...more }
  return {
    name: '',
    method: 'PUT',
    path: '/v2/a/b/manifests/v1',
    status: 201,
    ...scenario,
    headers: { ...(type && { 'content-type': type }), ...scenario.headers },
    body: named(bytes),
  }
}

const refuse = (code: string, more: Parameters<typeof push>[0]) =>
  push({ status: 400, codes: [code], ...more })

async function startWithLayers(start: typeof startInProcess, settings: Record<string, string> = {}) {
  const server = await start({ settings })
  for (const blob of [leaf, base]) await pushBlob(server, 'a/b', blob)
  return server
}

for (const [kind, start] of SERVERS) {
  describe(`a signed manifest of schema 1, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await startWithLayers(start)
    }, 60_000)
    afterAll(() => server.stop())

    test.each(TYPES)(
      'pushed as %p is served unchanged, by the digest of its signed content',
      async (type) => {
        const has = { 'docker-content-digest': digest, location: `/v2/a/b/manifests/${digest}` }
        await runScenario(server, push({ type, has }))
        for (const reference of ['v1', digest]) {
          await runScenario(server, {
            name: '',
            path: `/v2/a/b/manifests/${reference}`,
            status: 200,
            has: { 'content-type': SIGNED, 'docker-content-digest': digest, etag: `"${digest}"` },
            content: Uint8Array.from(image),
          })
        }
      },
    )

    test('pushed again with other signatures is the same manifest', async () => {
      await runScenario(
        server,
        push({ bytes: signed(text, [testKey('RS256'), key]), has: { 'docker-content-digest': digest } }),
      )
    })

    test('can be pushed by its digest', async () => {
      const path = `/v2/a/b/manifests/${digest}`
      await runScenario(server, push({ path }))
      const body = digestOf(image)
      await runScenario(server, refuse('DIGEST_INVALID', { path: `/v2/a/b/manifests/${body}` }))
    })

    test('keeps its layers', async () => {
      await runScenario(server, push())
      const path = `/v2/a/b/blobs/${base.digest}`
      await runScenario(server, { name: '', method: 'DELETE', path, status: 405, codes: ['DENIED'] })
    })

    test('is refused if its signature does not verify', async () => {
      const tampered = Buffer.from(Buffer.from(image).toString().replace('Zoë', 'Zoé'))
      await runScenario(server, refuse('MANIFEST_UNVERIFIED', { bytes: tampered }))
    })

    test('is refused without a signature', async () => {
      const bytes = Buffer.from(text)
      for (const type of TYPES) {
        await runScenario(server, refuse('MANIFEST_INVALID', { bytes, type, content: /must be signed/ }))
      }
    })

    test('is refused for another repository or tag', async () => {
      await runScenario(
        server,
        refuse('NAME_INVALID', { path: '/v2/a/c/manifests/v1', content: /names the repository \\"a\/b\\"/ }),
      )
      await runScenario(
        server,
        refuse('TAG_INVALID', { path: '/v2/a/b/manifests/v2', content: /tag \\"v1\\"/ }),
      )
    })

    test('is refused with an error for each missing layer', async () => {
      const [one, two] = [randomBlob(9).digest, randomBlob(9).digest]
      const bytes = signed(schema1Text('a/b', 'v1', [one, two, one, leaf.digest]), [key])
      const codes = ['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN']
      await runScenario(server, { ...refuse('', { bytes }), codes, content: new RegExp(`${one}.*${two}`) })
    })

    test('is refused if its history does not match its layers', async () => {
      const bytes = signed(schema1Text('a/b', 'v1', [leaf.digest], { history: [] }), [key])
      await runScenario(server, refuse('MANIFEST_INVALID', { bytes, content: /history/ }))
    })
  })
}

test('schema 1: unsigned manifests are accepted if the settings allow it', async () => {
  await using server = await startWithLayers(startInProcess, { 'docker.schema1.unsigned': 'true' })
  for (const type of [UNSIGNED, SIGNED, undefined]) {
    await runScenario(
      server,
      push({ type, bytes: Buffer.from(text), has: { 'docker-content-digest': digest } }),
    )
    const response = await expectStatus(await server.fetch('/v2/a/b/manifests/v1'), 200)
    expect(response.headers.get('content-type')).toBe(UNSIGNED)
    expect(await response.text()).toBe(text)
  }
})

test('schema 1: pushes are refused if the settings disable them', async () => {
  await using server = await startWithLayers(startInProcess, { 'docker.schema1.push': 'false' })
  await runScenario(server, refuse('MANIFEST_INVALID', { content: /schema 2 or OCI/ }))
})

test("schema 1: the leaf's labels apply, so its tag can expire", async () => {
  const clock = new Clock(Date.UTC(2026, 0, 1))
  await using server = await startInProcess({ now: clock.now })
  await pushBlob(server, 'a/b', leaf)
  const v1Compatibility = JSON.stringify({ id: '1', config: { Labels: { 'quay.expires-after': '1h' } } })
  const bytes = signed(schema1Text('a/b', 'v1', [leaf.digest], { history: [{ v1Compatibility }] }), [key])
  await runScenario(server, push({ bytes }))
  const path = '/v2/a/b/manifests/v1'
  await runScenario(server, { name: '', path, status: 200 })
  clock.advance(3601)
  await runScenario(server, { name: '', path, status: 404 })
})
