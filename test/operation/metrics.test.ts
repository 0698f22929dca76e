import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, named } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  await server.addUser('alice')
}, 60_000)
afterAll(() => server.stop())

/** Returns the samples of a scrape by name and labels. */
async function scrape(principal = server.as(basic('admin'))): Promise<Map<string, number>> {
  const response = await principal.fetch('/metrics')
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ])
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const [, name = '', value = ''] = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? []
      expect([line, name !== '' && Number.isFinite(Number(value))]).toEqual([line, true])
      return [name, Number(value)]
    }),
  )
}

test('metrics: only a server admin can read them, with any credential', async () => {
  const { secret } = await server.addToken('admin', { scope: [{ pattern: 'none', role: 'reader' }] })
  for (const authorization of [basic('admin'), bearer(secret)]) {
    expect((await server.as(authorization).fetch('/metrics')).status).toBe(200)
  }
  const anonymous = await server.fetch('/metrics')
  expect([anonymous.status, anonymous.headers.get('www-authenticate')]).toEqual([
    401,
    'Basic realm="cay", charset="UTF-8"',
  ])
  expect((await server.as(basic('alice')).fetch('/metrics')).status).toBe(403)
})

test('metrics: requests are counted by route and status, without repository names', async () => {
  const principal = server.as(basic('admin'))
  const before = await scrape()
  const layer = named('a layer')
  const manifest = imageManifest(EMPTY, [layer])
  await pushImage(principal, 'secret/name', manifest, [layer], { reference: 'v1' })
  await (await principal.fetch('/v2/secret/name/manifests/v1')).bytes()
  await (await principal.fetch(`/v2/secret/name/blobs/${layer.digest}`)).bytes()
  await principal.fetch('/v2/secret/name/manifests/v1', { method: 'HEAD' })
  await principal.fetch('/v2/secret/name/manifests/none')
  await principal.fetch('/v2/secret/name/nothing/at/all')
  await principal.fetch('/api/v1/users/nobody')
  const after = await scrape()
  const grown = (name: string) => (after.get(name) ?? 0) - (before.get(name) ?? 0)
  expect(grown('cay_http_requests_total{route="v2GetManifest",method="GET",status="200"}')).toBe(1)
  expect(grown('cay_http_requests_total{route="v2GetManifest",method="GET",status="404"}')).toBe(1)
  expect(grown('cay_http_requests_total{route="v2HeadManifest",method="HEAD",status="200"}')).toBe(1)
  expect(grown('cay_http_requests_total{route="v2PutManifest",method="PUT",status="201"}')).toBe(1)
  expect(grown('cay_http_requests_total{route="none",method="other",status="404"}')).toBe(1)
  expect(grown('cay_http_requests_total{route="/api/v1/users/:name",method="GET",status="404"}')).toBe(1)
  expect(grown('cay_http_request_duration_seconds_count{route="v2GetManifest",method="GET"}')).toBe(2)
  expect(
    grown('cay_http_request_duration_seconds_bucket{route="v2GetManifest",method="GET",le="+Inf"}'),
  ).toBe(2)
  expect(grown('cay_sent_bytes_total')).toBe(manifest.bytes.length + layer.bytes.length)
  expect(grown('cay_received_bytes_total')).toBeGreaterThanOrEqual(manifest.bytes.length + layer.bytes.length)
  expect(grown('cay_blobs')).toBeGreaterThanOrEqual(1)
  expect([...after.keys()].join()).not.toMatch(/secret|nobody/)
})

test('metrics: uploads, disk, jobs, logins, event loop and process are included', async () => {
  const upload = await server.as(basic('admin')).fetch('/v2/a/blobs/uploads/', { method: 'POST' })
  await server.as(basic('admin')).fetch(upload.headers.get('location') ?? '', { method: 'PATCH', body: 'x' })
  await server.as(basic('alice', 'wrong-horse')).fetch('/v2/')
  const found = await scrape()
  expect(found.get('cay_uploads_in_progress')).toBe(1)
  expect(found.get('cay_disk_bytes{kind="free"}')).toBeGreaterThan(0)
  expect(found.get('cay_jobs_running{kind="gc"}')).toBe(0)
  expect(found.get('cay_jobs_ended_total{kind="scan",state="done"}')).toBe(0)
  expect(found.get('cay_logins_total{result="ok"}')).toBeGreaterThan(0)
  expect(found.get('cay_logins_total{result="failed"}')).toBe(1)
  for (const name of ['cay_event_loop_delay_seconds{quantile="0.99"}', 'process_resident_memory_bytes']) {
    expect([name, found.has(name)]).toEqual([name, true])
  }
  for (const name of ['process_cpu_seconds_total', 'process_start_time_seconds', 'process_open_fds']) {
    expect([name, (found.get(name) ?? 0) > 0]).toEqual([name, true])
  }
})

test('metrics: a setting makes them public, or disables them', async () => {
  const settings = { access: 'accounts', 'metrics.access': 'anonymous' }
  await using open = await startInProcess({ adminPassword: PASSWORD, settings })
  expect((await open.fetch('/metrics')).status).toBe(200)
  await using off = await startInProcess({ settings: { 'metrics.access': 'off' } })
  expect((await off.fetch('/metrics')).status).toBe(404)
  await using everybody = await startInProcess()
  expect((await everybody.fetch('/metrics')).status).toBe(200)
})
