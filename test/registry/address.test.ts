import { describe, expect, test } from 'bun:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { repositoryOf, type Upstream, type Upstreams } from '../../src/registry/registry.ts'

const hub: Upstream = { name: 'docker.io', namespace: 'library' }
const quay: Upstream = { name: 'quay', namespace: undefined }
const hosts: Record<string, Upstream> = {
  'docker.io': hub,
  'index.docker.io': hub,
  quay,
  'quay.lan:8443': quay,
}
const upstreams: Upstreams = {
  find: (name) => [hub, quay].find((upstream) => upstream.name === name),
  findByHost: (host) => hosts[host],
}
const main = { isOwnHost: (host: string) => host === '127.0.0.1:5000', mirrorOf: undefined }
const mirror = { ...main, mirrorOf: hub }

describe('the repository that a request addresses', () => {
  test.each<[string, typeof main | typeof mirror, string, string | undefined, string]>([
    ['a plain name is local', main, 'library/alpine', undefined, 'library/alpine'],
    ['dots make no upstream', main, 'ghcr.io/a/b', undefined, 'ghcr.io/a/b'],
    ['a first component may be one', main, 'docker.io/grafana/loki', undefined, 'docker.io/grafana/loki'],
    ['an upstream may imply a namespace', main, 'docker.io/alpine', undefined, 'docker.io/library/alpine'],
    ['an upstream may imply none', main, 'quay/a', undefined, 'quay/a'],
    ['not the first component', main, 'a/quay/b', undefined, 'a/quay/b'],
    ['the beginning of a component is not the component', main, 'quayside/a', undefined, 'quayside/a'],
    ['ns of an upstream', main, 'library/alpine', 'docker.io', 'docker.io/library/alpine'],
    ['ns is a host of an upstream', main, 'alpine', 'index.docker.io', 'docker.io/library/alpine'],
    ['ns is a host with a port', main, 'a/b', 'quay.lan:8443', 'quay/a/b'],
    [
      'ns, and the upstream in the path',
      main,
      'docker.io/library/alpine',
      'docker.io',
      'docker.io/library/alpine',
    ],
    ['ns, and a bare name in the path', main, 'docker.io/alpine', 'docker.io', 'docker.io/library/alpine'],
    ['ns counts before the path', main, 'quay/a', 'docker.io', 'docker.io/quay/a'],
    ['ns of this host', main, 'a/b', '127.0.0.1:5000', 'a/b'],
    ['ns of this host, an upstream in the path', main, 'quay/b', '127.0.0.1:5000', 'quay/b'],
    ['an empty ns', main, 'a/b', '', 'a/b'],
    ['a listener that mirrors', mirror, 'library/alpine', undefined, 'docker.io/library/alpine'],
    ['a listener that mirrors, a bare name', mirror, 'alpine', undefined, 'docker.io/library/alpine'],
    ['a listener that mirrors ignores ns', mirror, 'library/alpine', 'ghcr.io', 'docker.io/library/alpine'],
  ])('%s', (_, origin, name, ns, repository) => {
    expect(repositoryOf(upstreams, origin, parseRepositoryName(name), ns)).toBe(
      parseRepositoryName(repository),
    )
  })

  test.each(['ghcr.io', '127.0.0.1:5001', 'localhost'])(
    'ns=%s names no registry that is configured',
    (ns) => {
      expect(repositoryOf(upstreams, main, parseRepositoryName('a/b'), ns)).toBeUndefined()
    },
  )

  test('the bare name of an upstream is not a repository', () => {
    expect(repositoryOf(upstreams, main, parseRepositoryName('quay'), undefined)).toBeUndefined()
  })

  test('a full name that is too long is refused', () => {
    const name = parseRepositoryName('a'.repeat(250))
    expect(() => repositoryOf(upstreams, mirror, name, undefined)).toThrow('255')
  })
})
