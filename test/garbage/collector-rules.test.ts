import { afterAll, beforeAll, expect, test } from 'bun:test'
import { EMPTY, imageManifest, named } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const DAY = 86_400_000

type Json = Record<string, unknown>
interface Page {
  items: Json[]
  nextCursor?: string
}

let clock = Date.UTC(2026, 0, 1)
let server: TestServer
const layer = named('a layer')
const kept = imageManifest(EMPTY, [layer], { annotations: { is: 'kept' } })
const gone = imageManifest(EMPTY, [named('gone')], { annotations: { is: 'gone' } })

beforeAll(async () => {
  server = await startInProcess({ now: () => clock })
  await pushImage(server, 'team/app', kept, [layer], { reference: 'latest' })
  await pushImage(server, 'team/app', gone, [named('gone')], { reference: 'old' })
  await ask('DELETE', '/repositories/team%2Fapp/tags/old')
})
afterAll(() => server.stop())

async function ask<T = Json>(method: string, path: string, body?: object): Promise<T> {
  const response = await server.fetch(`/api/v1${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  expect([path, response.ok]).toEqual([path, true])
  return JSON.parse((await response.text()) || 'null') as T
}

/** Runs a job until it ends, and returns it. */
async function run(kind: string): Promise<Json> {
  const { id } = await ask('POST', '/jobs', { kind })
  await (await server.fetch(`/api/v1/jobs/${id}/events`)).text()
  return await ask('GET', `/jobs/${id}`)
}

const time = (milliseconds: number) => new Date(milliseconds).toISOString()

test('collector: a dry run lists what will be deleted and when, and explains what is kept', async () => {
  const { items } = await ask<Page>('GET', '/gc/candidates')
  expect(items).toMatchObject([
    {
      kind: 'manifest',
      repository: 'team/app',
      digest: gone.digest,
      reason: 'unreferenced',
      since: time(clock),
      collectableAt: time(clock + 14 * DAY),
    },
  ])
  expect(await ask('GET', '/gc/totals')).toMatchObject({ manifestCount: 1, tagCount: 0, truncated: false })
  const explain = async (digest: string) =>
    (await ask<Page>('GET', `/gc/explain?digest=${digest}&repository=team/app`)).items
  expect(await explain(kept.digest)).toEqual([
    {
      kind: 'manifest',
      repository: 'team/app',
      digest: kept.digest,
      reasons: [{ reason: 'tag', referencedBy: ['latest'] }],
    },
  ])
  expect(await explain(gone.digest)).toMatchObject([{ collectableAt: time(clock + 14 * DAY) }])
  expect(await explain(layer.digest)).toMatchObject([{ kind: 'blob', reasons: [{ reason: 'manifest' }] }])
  expect(await explain(named('absent').digest)).toEqual([])
})

test('collector: candidates are paginated', async () => {
  for (const tag of ['a', 'b', 'c']) {
    const manifest = imageManifest(EMPTY, [], { annotations: { tag } })
    await pushImage(server, 'paged/app', manifest, [], { reference: tag })
    await ask('DELETE', `/repositories/paged%2Fapp/manifests/${manifest.digest}`)
  }
  const seen: unknown[] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const page: Page = await ask<Page>('GET', `/gc/candidates?limit=2${last && `&cursor=${last}`}`)
    expect(page.items.length).toBeLessThanOrEqual(2)
    seen.push(...page.items.filter(({ repository }) => repository === 'paged/app'))
    last = page.nextCursor
  }
  expect(seen).toHaveLength(3)
  await ask('DELETE', '/repositories/paged%2Fapp')
})

test('collector: a job deletes garbage permanently, once the server has run for the grace period', async () => {
  const state = await ask('GET', '/gc')
  expect(state).toMatchObject({
    running: false,
    waitingUntil: time(Date.UTC(2026, 0, 2)),
    garbageWindow: { graceSeconds: 86_400, windowSeconds: 1_209_600, untaggedDays: 0 },
  })
  expect(await run('gc')).toMatchObject({ state: 'done', result: { manifests: 0, blobs: 0 } })
  expect(await ask('GET', '/gc')).toMatchObject({ lastRun: { stopReason: 'waiting' } })
  clock += 15 * DAY
  const collected = await run('gc')
  expect(collected).toMatchObject({ state: 'done', result: { manifests: 4, repositories: 1 } })
  expect(await ask('GET', '/gc')).toMatchObject({ lastRun: { manifestCount: 4, repositoryCount: 1 } })
  const path = `/api/v1/repositories/team%2Fapp/manifests/${gone.digest}/restore`
  expect((await server.fetch(path, { method: 'POST' })).status).toBe(404)
  expect((await server.fetch('/v2/team/app/manifests/latest')).status).toBe(200)
})

test('collector: a scan job checks every file', async () => {
  expect(await run('scan')).toMatchObject({ kind: 'scan', state: 'done' })
})

test.each(['/gc/candidates?cursor=x', '/gc/explain?digest=x', '/gc/explain'])('%s is 400', async (path) => {
  expect((await server.fetch(`/api/v1${path}`)).status).toBe(400)
})
