import { expect, test } from 'bun:test'
import { dockerVersion, isOlder } from '../../src/docker/schema1.ts'

test.each<[agent: string | null, version: [number, number] | undefined]>([
  ['docker/1.9.1 go/go1.4.2 git-commit/a34a1d5 kernel/4.1.12 os/linux arch/amd64', [1, 9]],
  ['docker/1.10.3 go/go1.5.3 UpstreamClient(Docker-Client/1.10.3 \\(linux\\))', [1, 10]],
  ['docker/17.05.0-ce go/go1.7.5', [17, 5]],
  ['docker/28.1', [28, 1]],
  ['docker/1', undefined],
  ['docker/1.99999', undefined],
  ['Docker-Client/1.9.1', undefined],
  ['curl/8 docker/1.9.1', undefined],
  ['Go 1.1 package http', undefined],
  ['', undefined],
  [null, undefined],
])('user agent: %j is Docker %j', (agent, version) => {
  const expected = version && { major: version[0], minor: version[1] }
  expect(dockerVersion(agent)).toEqual(expected as ReturnType<typeof dockerVersion>)
})

test('user agent: 1.9 is older than 1.10, and other clients are older than no version', () => {
  expect(isOlder({ major: 1, minor: 9 }, 1, 10)).toBe(true)
  expect(isOlder({ major: 1, minor: 10 }, 1, 10)).toBe(false)
  expect(isOlder({ major: 0, minor: 11 }, 1, 6)).toBe(true)
  expect(isOlder({ major: 17, minor: 0 }, 1, 10)).toBe(false)
  expect(isOlder(undefined, 1, 10)).toBe(false)
})
