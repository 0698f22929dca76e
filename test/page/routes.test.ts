import { expect, test } from 'bun:test'
import { manifestPath, parseRepositoryPath, repositoryPath } from '../../src/page/routes.ts'

test('page: each path of a repository is read as it was made', () => {
  const name = 'docker.io/library/alpine'
  expect(parseRepositoryPath(repositoryPath(name))).toEqual({ name, part: '', rest: '' })
  expect(parseRepositoryPath(repositoryPath(name, 'history'))).toEqual({ name, part: 'history', rest: '' })
  expect(parseRepositoryPath(manifestPath(name, 'sha256:00'))).toEqual({
    name,
    part: 'manifests',
    rest: 'sha256:00',
  })
})

test('page: a path with a broken escape is shown as it is', () => {
  expect(parseRepositoryPath('/repositories/a%zz')).toEqual({ name: 'a%zz', part: '', rest: '' })
})
