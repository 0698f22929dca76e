import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import * as content from '../support/content.ts'
import { pushBlob, pushImage, pushManifest } from '../support/push.ts'
import { runScenario, runScenarios } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const {
  EMPTY,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
  DOCKER_MANIFEST,
  descriptor,
  digestOf,
  imageIndex,
  imageManifest,
  json,
  named,
} = content
const subjectImage = imageManifest(EMPTY, [], { annotations: { the: 'subject' } })
const subject = descriptor(subjectImage, OCI_MANIFEST)
const annotations = { 'org.example.a': 'b', 'org.example.é': '' }
const unknown = digestOf(named('unknown').bytes)

const sbom = imageManifest(EMPTY, [], { artifactType: 'application/x.sbom', subject, annotations })
const byConfig = imageManifest(EMPTY, [], { subject })
const index = imageIndex([], { artifactType: 'application/x.sbom', subject })
const plainIndex = imageIndex([], { subject })
const docker = json({
  schemaVersion: 2,
  mediaType: DOCKER_MANIFEST,
  config: descriptor(EMPTY, 'a/b'),
  layers: [],
  subject,
})

/** Each referrer with its type and the expected descriptor. */
const REFERRERS: [content.Named, string, content.Descriptor][] = [
  [sbom, OCI_MANIFEST, descriptor(sbom, OCI_MANIFEST, { artifactType: 'application/x.sbom', annotations })],
  [byConfig, OCI_MANIFEST, descriptor(byConfig, OCI_MANIFEST, { artifactType: OCI_CONFIG })],
  [index, OCI_INDEX, descriptor(index, OCI_INDEX, { artifactType: 'application/x.sbom' })],
  [plainIndex, OCI_INDEX, descriptor(plainIndex, OCI_INDEX)],
  [docker, DOCKER_MANIFEST, descriptor(docker, DOCKER_MANIFEST, { artifactType: 'a/b' })],
]
const all = REFERRERS.map(([, , found]) => found)
const path = `/v2/a/referrers/${subject.digest}`

/** Returns the expected index. Its entries are sorted, because a response can have them in any order. */
const answer = (manifests: content.Descriptor[]) => ({
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests: [...manifests].sort((a, b) => (a.digest < b.digest ? -1 : 1)),
})
const INDEX = { 'content-type': OCI_INDEX }

describe('referrers', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess()
    await pushImage(server, 'a', subjectImage, [])
    await pushBlob(server, 'b', EMPTY)
    for (const [manifest, type] of REFERRERS) await pushManifest(server, 'a', manifest, { type })
  })
  afterAll(() => server.stop())

  runScenarios(
    () => server,
    [
      {
        name: 'are all that name the subject',
        path,
        status: 200,
        has: INDEX,
        lacks: ['link', 'oci-filters-applied'],
        content: answer(all),
      },
      { name: 'HEAD', method: 'HEAD', path, status: 200, has: INDEX },
      {
        name: 'of one type',
        path: `${path}?artifactType=application/x.sbom`,
        status: 200,
        has: { ...INDEX, 'oci-filters-applied': 'artifactType' },
        content: answer(all.filter(({ artifactType }) => artifactType === 'application/x.sbom')),
      },
      {
        name: "of a config's type, encoded",
        path: `${path}?artifactType=${encodeURIComponent(OCI_CONFIG)}`,
        status: 200,
        content: answer(all.filter(({ artifactType }) => artifactType === OCI_CONFIG)),
      },
      {
        name: 'of no such type',
        path: `${path}?artifactType=none`,
        status: 200,
        has: { ...INDEX, 'oci-filters-applied': 'artifactType' },
        content: answer([]),
      },
      {
        name: 'of an empty type are all',
        path: `${path}?artifactType=`,
        status: 200,
        lacks: ['oci-filters-applied'],
        content: answer(all),
      },
      {
        name: 'of what is not here are none',
        path: `/v2/a/referrers/${unknown}`,
        status: 200,
        has: INDEX,
        content: answer([]),
      },
      {
        name: 'in another repository are none',
        path: `/v2/b/referrers/${subject.digest}`,
        status: 200,
        has: INDEX,
        content: answer([]),
      },
      {
        name: 'in an unknown repository are none',
        path: `/v2/nobody/referrers/${unknown}`,
        status: 200,
        has: INDEX,
        content: answer([]),
      },
      {
        name: 'of a malformed digest',
        path: '/v2/a/referrers/sha256:1',
        status: 400,
        codes: ['DIGEST_INVALID'],
      },
      { name: 'of a tag', path: '/v2/a/referrers/latest', status: 400, codes: ['DIGEST_INVALID'] },
    ],
  )

  test('are listed if the subject is pushed later, or never', async () => {
    const late = descriptor(json({ late: true }), OCI_MANIFEST)
    const referrer = imageManifest(EMPTY, [], { subject: late, artifactType: 'a/b' })
    await pushManifest(server, 'b', referrer)
    const expected = answer([descriptor(referrer, OCI_MANIFEST, { artifactType: 'a/b' })])
    await runScenario(server, {
      name: '',
      path: `/v2/b/referrers/${late.digest}`,
      status: 200,
      content: expected,
    })
  })

  /** Follows Link to the last page of referrers; returns the digests of each page. */
  async function pagesOf(first: string): Promise<string[][]> {
    const pages: string[][] = []
    for (let next: string | undefined = first; next !== undefined; ) {
      const response = await runScenario(server, { name: '', path: next, status: 200, has: INDEX })
      const body = (await (await server.fetch(next)).json()) as { manifests: { digest: string }[] }
      pages.push(body.manifests.map(({ digest }) => digest))
      next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
      expect(response.headers.has('link')).toBe(next !== undefined)
      expect(response.headers.has('oci-filters-applied')).toBe(first.includes('artifactType'))
    }
    return pages
  }

  test('of the referrers tag are all found by Link, beside those with the subject', async () => {
    await pushBlob(server, 'listed', EMPTY)
    const make = (n: number, more: object) =>
      imageManifest(EMPTY, [], { artifactType: 'a/b', annotations: { n: `${n}` }, ...more })
    const old = Array.from({ length: 620 }, (_, n) => make(n, {}))
    const own = Array.from({ length: 130 }, (_, n) => make(n, { subject }))
    await Promise.all([...old, ...own].map((manifest) => pushManifest(server, 'listed', manifest)))
    const absent = Array.from({ length: 2500 }, (_, n) => named(`absent ${n}`))
    const list = imageIndex([...absent, ...old, ...own].map((one) => descriptor(one, OCI_MANIFEST)))
    const reference = subject.digest.replace(':', '-')
    await pushManifest(server, 'listed', list, { reference, type: OCI_INDEX })
    const digests = [...old, ...own].map(({ digest }) => digest).sort()
    for (const query of ['', '?artifactType=a/b']) {
      const pages = await pagesOf(`/v2/listed/referrers/${subject.digest}${query}`)
      expect(pages.length).toBeGreaterThan(1)
      expect(pages.flat()).toEqual(digests)
    }
  }, 30_000)

  test('are all found by Link if they exceed a page, with and without a filter', async () => {
    await pushBlob(server, 'many', EMPTY)
    const many = Array.from({ length: 1203 }, (_, n) =>
      imageManifest(EMPTY, [], {
        subject,
        artifactType: n % 2 ? 'a/odd' : 'a/even',
        annotations: { n: `${n}` },
      }),
    )
    await Promise.all(many.map((manifest) => pushManifest(server, 'many', manifest)))
    const collect = (query: string) => pagesOf(`/v2/many/referrers/${subject.digest}${query}`)
    const pages = await collect('')
    expect(pages.length).toBeGreaterThan(1)
    expect(pages.flat()).toEqual(many.map(({ digest }) => digest).sort())
    const odd = many.filter((_, n) => n % 2).map(({ digest }) => digest)
    expect((await collect('?artifactType=a/odd')).flat()).toEqual(odd.sort())
  }, 30_000)
})

describe('referrers: the referrers tag of older clients', () => {
  const old = imageManifest(EMPTY, [], { artifactType: 'a/old', annotations: { from: 'the manifest' } })
  const listed = (...found: content.Descriptor[]) => imageIndex(found)
  const tag = (digest: string) => digest.replace(':', '-').slice(0, 71)
  const found = descriptor(old, OCI_MANIFEST, {
    artifactType: 'a/old',
    annotations: { from: 'the manifest' },
  })

  test('is merged without duplicates and missing manifests, filtered, until it is deleted', async () => {
    await using server = await startInProcess()
    await pushImage(server, 'a', subjectImage, [])
    for (const manifest of [old, sbom]) await pushManifest(server, 'a', manifest)
    const absent = descriptor(named('absent'), OCI_MANIFEST)
    const list = listed(
      descriptor(old, OCI_MANIFEST),
      descriptor(sbom, OCI_MANIFEST),
      absent,
      descriptor(old, OCI_MANIFEST),
    )
    await pushManifest(server, 'a', list, { reference: tag(subject.digest), type: OCI_INDEX })
    const ask = (query: string, expected: content.Descriptor[]) =>
      runScenario(server, {
        name: '',
        path: `${path}${query}`,
        status: 200,
        has: INDEX,
        content: answer(expected),
      })
    await ask('', [all[0]!, found])
    await ask('?artifactType=a/old', [found])
    await ask('?artifactType=application/x.sbom', [all[0]!])
    await server.fetch(`/v2/a/manifests/${old.digest}`, { method: 'DELETE' })
    await ask('', [all[0]!])
  })

  test('does no harm for a sha512 subject, or if it is not an index', async () => {
    await using server = await startInProcess()
    await pushBlob(server, 'a', EMPTY)
    await pushManifest(server, 'a', old)
    const sha512 = digestOf(subjectImage.bytes, 'sha512')
    await pushManifest(server, 'a', listed(descriptor(old, OCI_MANIFEST)), {
      reference: tag(sha512),
      type: OCI_INDEX,
    })
    await pushManifest(server, 'a', old, { reference: tag(unknown) })
    await runScenario(server, {
      name: '',
      path: `/v2/a/referrers/${sha512}`,
      status: 200,
      content: answer([found]),
    })
    await runScenario(server, {
      name: '',
      path: `/v2/a/referrers/${unknown}`,
      status: 200,
      content: answer([]),
    })
  })
})
