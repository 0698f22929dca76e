import { afterAll, beforeAll, describe } from 'bun:test'
import { digestOf, named, randomBlob } from '../support/content.ts'
import { pushBlob } from '../support/push.ts'
import { runScenarios, type Scenario } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const blob = randomBlob(100)
const hidden = randomBlob(100)
const unknown = digestOf(named('unknown').bytes)
const STARTED = { location: /^\/v2\/[a-z/]+\/blobs\/uploads\/[0-9a-f-]{36}~sha256~[\w-]{22}$/, range: '0-0' }

const mount = (name: string, to: string, query: string, more: Partial<Scenario> = {}): Scenario => ({
  name,
  method: 'POST',
  path: `/v2/${to}/blobs/uploads/?${query}`,
  status: 201,
  content: '',
  ...more,
})
const get = (name: string, repository: string, digest: string, status: number): Scenario => ({
  name,
  path: `/v2/${repository}/blobs/${digest}`,
  status,
})

describe('a mount', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess()
    await pushBlob(server, 'source', blob)
    await pushBlob(server, 'source', hidden)
    await pushBlob(server, 'own', hidden)
    await server.fetch(`/v2/source/blobs/${hidden.digest}`, { method: 'DELETE' })
  })
  afterAll(() => server.stop())

  runScenarios(
    () => server,
    [
      get('is needed: the blob is not there before', 'target', blob.digest, 404),
      mount('with from links the blob', 'target', `mount=${blob.digest}&from=source`, {
        has: { location: `/v2/target/blobs/${blob.digest}`, 'docker-content-digest': blob.digest },
      }),
      get('and the blob is there', 'target', blob.digest, 200),
      mount('again is the same', 'target', `mount=${blob.digest}&from=source`),
      mount('without from finds the blob anywhere', 'anywhere', `mount=${blob.digest}`, {
        has: { location: `/v2/anywhere/blobs/${blob.digest}` },
      }),
      get('and that is there, too', 'anywhere', blob.digest, 200),
      mount('without from finds it in the repository itself', 'own', `mount=${hidden.digest}`),
      ...[
        ['of an unknown blob', `mount=${unknown}&from=source`],
        ['of an unknown blob without from', `mount=${unknown}`],
        ['from an unknown repository', `mount=${blob.digest}&from=nobody`],
        ['from a repository that has not the blob', `mount=${blob.digest}&from=own`],
        ['from a repository where it is deleted', `mount=${hidden.digest}&from=source`],
        ['from a name that is none', `mount=${blob.digest}&from=A`],
      ].map(([name = '', query = '']) =>
        mount(`${name} begins an upload`, 'begun', query, { status: 202, has: STARTED }),
      ),
      get('and none of these made the blob', 'begun', blob.digest, 404),
      mount('of what is no digest', 'begun', 'mount=sha256:1&from=source', {
        status: 400,
        codes: ['DIGEST_INVALID'],
        content: /sha256:1/,
      }),
      { name: 'that failed makes no repository', path: '/v2/_catalog', status: 200, hides: /begun/ },
    ],
  )
})
