import { describe, expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { ADMIN_PASSWORD, startMirror } from '../support/mirror.ts'

const settings = { access: 'accounts' }
const admin = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` }

describe('cache: the ways in', () => {
  test('containerd names the upstream by ns, also by its host, and gets it back in a header', async () => {
    await using cache = await startCache()
    const { manifest } = cache.fake.putImage('library/app', '1')
    for (const ns of ['up.example', cache.fake.host]) {
      const response = await cache.server.fetch(`/v2/library/app/manifests/1?ns=${ns}`)
      expect(response.status).toBe(200)
      expect(response.headers.get('oci-namespace')).toBe(ns)
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
    }
    expect((await cache.server.fetch('/v2/library/app/manifests/1?ns=other.example')).status).toBe(404)
  })

  test('none of them serves private content to clients without access', async () => {
    await using cache = await startCache({ settings, adminPassword: ADMIN_PASSWORD })
    const { layer } = cache.fake.putImage('library/app', '1')
    expect((await cache.get('manifests/1', { headers: admin })).status).toBe(200)
    const asked = cache.fake.log.length
    for (const path of ['manifests/1', `blobs/${layer.digest}`, 'tags/list']) {
      const refused = await cache.get(path)
      expect(refused.status).toBe(401)
      expect(refused.headers.get('www-authenticate')).toContain(
        'scope="repository:up.example/library/app:pull"',
      )
      const byNs = await cache.server.fetch(`/v2/library/app/${path}?ns=up.example`)
      expect(byNs.status).toBe(401)
      expect(byNs.headers.get('www-authenticate')).toContain('scope="repository:up.example/library/app:pull"')
    }
    expect(cache.fake.log).toHaveLength(asked)
  })

  test('a grant on a local name gives no access to an upstream', async () => {
    await using cache = await startCache({ settings, adminPassword: ADMIN_PASSWORD })
    cache.fake.putImage('library/app', '1')
    const body = JSON.stringify({ subject: 'anonymous', pattern: 'library/**', role: 'reader' })
    const headers = { ...admin, 'content-type': 'application/json' }
    expect(
      (await cache.server.fetch('/api/v1/grants', { method: 'PUT', headers, body })).status,
    ).toBeLessThan(300)
    expect((await cache.server.fetch('/v2/library/app/manifests/1?ns=up.example')).status).toBe(401)
  })
})

describe('cache: the mirror for Docker', () => {
  test('serves the names of the upstream, for pulls only', async () => {
    await using world = await startMirror('open')
    const { fake, mirror } = world
    const { manifest, layer } = fake.putImage('library/app', '1')
    expect((await fetch(`${mirror}/v2/`)).status).toBe(200)
    const pulled = await fetch(`${mirror}/v2/library/app/manifests/1`)
    expect(pulled.headers.get('docker-content-digest')).toBe(manifest.digest)
    const blob = await fetch(`${mirror}/v2/library/app/blobs/${layer.digest}`)
    expect(Buffer.from(await blob.bytes()).equals(layer.bytes)).toBe(true)
    const pushed = await fetch(`${mirror}/v2/library/app/blobs/uploads/`, { method: 'POST' })
    expect([404, 405]).toContain(pushed.status)
    for (const path of ['/v2/_catalog', '/api/v1/server', '/token', '/metrics']) {
      expect((await fetch(`${mirror}${path}`)).status).toBeGreaterThanOrEqual(400)
    }
  })

  test('never asks for a password, and names the missing grant', async () => {
    await using world = await startMirror('accounts')
    const { fake, main, mirror } = world
    fake.putImage('library/app', '1')
    expect((await fetch(`${mirror}/v2/`)).status).toBe(200)
    const refused = await fetch(`${mirror}/v2/library/app/manifests/1`, { headers: admin })
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toBeNull()
    expect(await refused.text()).toContain("cay grant create anonymous 'up.example/**' reader")
    const body = JSON.stringify({ subject: 'anonymous', pattern: 'up.example/**', role: 'reader' })
    const headers = { ...admin, 'content-type': 'application/json' }
    expect((await fetch(`${main}/api/v1/grants`, { method: 'PUT', headers, body })).ok).toBe(true)
    expect((await fetch(`${mirror}/v2/library/app/manifests/1`)).status).toBe(200)
  })
})
