import { expect, test } from 'bun:test'
import { runCay } from '../support/run-cay.ts'

const ENV = {
  CAY_DATA: '/nonexistent',
  CAY_UPSTREAM: 'docker.io,ghcr.io',
  CAY_MIRROR: 'docker.io=0.0.0.0:5001',
  CAY_EXTERNAL_URL: 'https://cay.lan:5000',
}

test.each([
  ['docker', ['"https://cay.lan:5001"', "cay grant create anonymous 'docker.io/**' reader"]],
  [
    'containerd',
    ['/etc/containerd/certs.d/ghcr.io/hosts.toml', '[host."https://cay.lan:5000"]', 'registry-1.docker.io'],
  ],
  ['podman', ['prefix = "ghcr.io"', 'location = "cay.lan:5000/ghcr.io"']],
  ['k3s', ['  ghcr.io:\n    endpoint:\n      - "https://cay.lan:5000"']],
  ['buildkit', ['[registry."ghcr.io"]\n  mirrors = ["cay.lan:5000"]']],
])('cay client-setup %s prints the settings for each upstream', async (client, expected) => {
  const { code, output, errors } = await runCay(['client-setup', client], ENV)
  expect({ code, errors }).toEqual({ code: 0, errors: '' })
  for (const text of expected) expect(output).toContain(text)
})

test('cay client-setup names the clients that it knows, and needs an upstream', async () => {
  const unknown = await runCay(['client-setup', 'lynx'], ENV)
  expect(unknown.code).toBe(2)
  expect(unknown.errors).toContain('docker, containerd, podman, k3s, buildkit')
  const none = await runCay(['client-setup', 'docker'], { CAY_DATA: '/nonexistent' })
  expect(none.code).toBe(2)
  expect(none.errors).toContain('--upstream docker.io')
})
