import { afterAll, beforeAll, expect, test } from 'bun:test'
import { descriptor, EMPTY, imageManifest, type Named, named, OCI_MANIFEST } from '../support/content.ts'
import { pushBlob, pushManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

interface Node {
  digest: string
  kind: string
  tag?: string
  referrers?: Node[]
}
interface Tree {
  digest: string
  referrers: Node[]
  truncated: boolean
}

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
})
afterAll(() => server.stop())

const layer = named('a layer')
const image = imageManifest(EMPTY, [layer])

async function treeOf(repository: string): Promise<Tree> {
  const name = encodeURIComponent(repository)
  const response = await server.fetch(`/api/v1/repositories/${name}/manifests/latest/referrers`)
  expect(response.status).toBe(200)
  return (await response.json()) as Tree
}

async function push(repository: string, manifest: Named, reference?: string) {
  for (const blob of [EMPTY, layer]) await pushBlob(server, repository, blob)
  await pushManifest(server, repository, manifest, reference ? { reference } : {})
}

/** Pushes a chain of manifests, each with the previous one as its subject; returns all of them. */
async function pushChain(repository: string, subject: Named, length: number): Promise<Named[]> {
  const chain = [subject]
  for (let depth = 0; depth < length; depth++) {
    const next = imageManifest(EMPTY, [], {
      artifactType: 'application/spdx+json',
      subject: descriptor(chain.at(-1) ?? subject, OCI_MANIFEST),
    })
    await push(repository, next)
    chain.push(next)
  }
  return chain
}

test("referrers: the tree includes those named by cosign's tags", async () => {
  await push('signed/app', image, 'latest')
  const [, sbom, note] = await pushChain('signed/app', image, 2)
  const signature = imageManifest(EMPTY, [layer], { annotations: { is: 'a signature' } })
  await push('signed/app', signature, `${image.digest.replace(':', '-')}.sig`)
  const tree = await treeOf('signed/app')
  expect(tree).toMatchObject({ digest: image.digest, truncated: false })
  expect(tree.referrers).toMatchObject([
    { digest: sbom!.digest, kind: 'SPDX SBOM', referrers: [{ digest: note!.digest, referrers: [] }] },
    { digest: signature.digest, tag: `${image.digest.replace(':', '-')}.sig`, referrers: [] },
  ])
})

test('referrers: a tree that is too deep or too wide is truncated and says so', async () => {
  await push('deep/app', image, 'latest')
  await pushChain('deep/app', image, 6)
  const deep = await treeOf('deep/app')
  expect(deep.truncated).toBe(true)
  let depth = 0
  for (let level: Node[] | undefined = deep.referrers; level?.length; level = level[0]?.referrers) depth++
  expect(depth).toBe(5)
  await push('wide/app', image, 'latest')
  const subject = descriptor(image, OCI_MANIFEST)
  await Promise.all(
    Array.from({ length: 501 }, (_, n) =>
      pushManifest(server, 'wide/app', imageManifest(EMPTY, [], { subject, annotations: { n: `${n}` } })),
    ),
  )
  const wide = await treeOf('wide/app')
  expect([wide.referrers.length, wide.truncated]).toEqual([500, true])
}, 30_000)
