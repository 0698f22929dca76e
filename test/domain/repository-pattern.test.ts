import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { temporaryFolder } from '../../scripts/temporary-folder.ts'
import { matchesPattern, parseRepositoryPattern } from '../../src/domain/repository-pattern.ts'
import type { Metadata } from '../../src/metadata/metadata.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { open } from '../support/writes.ts'

const COMPONENTS = ['a', 'b', 'a-b', 'a.b', 'a0', 'ab']
const one = COMPONENTS
const two = one.flatMap((first) => one.map((second) => `${first}/${second}`))
const NAMES = [
  ...one,
  ...two,
  ...two.flatMap((start) => one.map((end) => `${start}/${end}`)),
  'a/b/a/b',
  'a/a/a/b/a',
]
  .map(parseRepositoryName)
  .sort()

const resources = new AsyncDisposableStack()
let metadata: Metadata

beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('patterns'))
  metadata = await open(folder.path)
  resources.defer(() => metadata.close())
  using db = new Database(join(folder.path, 'cay.db'))
  db.run(`insert into repository (name, created_at) values ${NAMES.map((name) => `('${name}', 0)`).join()}`)
})
afterAll(() => resources.disposeAsync())

const component = fc.constantFrom('*', ...COMPONENTS)
const pattern = fc
  .tuple(fc.array(component, { maxLength: 3 }), fc.boolean(), fc.array(component, { maxLength: 2 }))
  .map(([before, any, after]) => [...before, ...(any ? ['**'] : []), ...after].join('/'))
  .filter((text) => text !== '')
  .map(parseRepositoryPattern)

test('the condition of some patterns finds the repositories that one of them matches', () => {
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 6 }), (patterns) => {
      const found = metadata.repositories.list([patterns], '', 1000)
      expect(found).toEqual(NAMES.filter((name) => patterns.some((one) => matchesPattern(one, name))))
    }),
  )
})
