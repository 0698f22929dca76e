import { describe, expect, test } from 'bun:test'
import { addressOf } from '../../src/core/address.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'

const upstreams = new Set(['docker.io', 'quay'])
const main = { host: '127.0.0.1:5000', mirrorOf: undefined }
const mirror = { host: '127.0.0.1:5001', mirrorOf: 'docker.io' }

describe('what a path names', () => {
  test.each<[string, typeof main | typeof mirror, string, string | undefined, string | undefined, string]>([
    ['a plain name is local', main, 'library/alpine', undefined, undefined, 'library/alpine'],
    ['dots make no upstream', main, 'ghcr.io/a/b', undefined, undefined, 'ghcr.io/a/b'],
    [
      'a first component that is one',
      main,
      'docker.io/library/alpine',
      undefined,
      'docker.io',
      'library/alpine',
    ],
    ['an upstream without dots', main, 'quay/a/b', undefined, 'quay', 'a/b'],
    ['the name alone is local', main, 'quay', undefined, undefined, 'quay'],
    ['not the first component', main, 'a/quay/b', undefined, undefined, 'a/quay/b'],
    [
      'the beginning of a component is not the component',
      main,
      'quayside/a',
      undefined,
      undefined,
      'quayside/a',
    ],
    ['ns of an upstream', main, 'library/alpine', 'docker.io', 'docker.io', 'library/alpine'],
    ['ns before the path', main, 'quay/a', 'docker.io', 'docker.io', 'quay/a'],
    ['ns of this host', main, 'a/b', '127.0.0.1:5000', undefined, 'a/b'],
    ['an empty ns', main, 'a/b', '', undefined, 'a/b'],
    ['a listener that mirrors', mirror, 'library/alpine', undefined, 'docker.io', 'library/alpine'],
    [
      'a listener that mirrors, asked with ns',
      mirror,
      'library/alpine',
      'docker.io',
      'docker.io',
      'library/alpine',
    ],
  ])('%s', (_, origin, name, ns, upstream, repository) => {
    expect(addressOf(upstreams, origin, parseRepositoryName(name), ns)).toEqual({
      upstream,
      repository: parseRepositoryName(repository),
    })
  })

  test.each(['ghcr.io', '127.0.0.1:5001', 'localhost'])('ns=%s is nothing here', (ns) => {
    expect(addressOf(upstreams, main, parseRepositoryName('a/b'), ns)).toBeUndefined()
  })
})
